import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createRouterTransport } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { parseConfig } from '#src/config/config.ts';
import { createDatabase } from '#src/db/database.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { createLogger } from '#src/observability/logger.ts';
import { PostServiceImpl } from '#src/posts/api/post-service.ts';
import { ChangeFeed } from '#src/posts/feed/change-feed.ts';
import { PostWatches } from '#src/posts/feed/post-watches.ts';
import { PostgresPostStore } from '#src/posts/store/postgres-post-store.ts';
import { outcome } from '#src/rpc/outcome.ts';
import { RequestValidator, validation } from '#src/rpc/validation.ts';
import { livePostsThrough } from '#test/end-to-end/post-scenario.ts';
import { selfSigned } from '#test/support/self-signed.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';
import { TRANSPORTS, type TransportName } from '#test/support/transports.ts';

const parts = new AsyncDisposableStack();
let plain: TestService;
let tls: TestService;
let ca: string;

beforeAll(async () => {
  plain = parts.use(await startTestService());
  const folder = parts.use(await makeTemporaryFolder());
  const { cert, key } = selfSigned();
  ca = cert;
  const [certFile, keyFile] = [join(folder.path, 'cert.pem'), join(folder.path, 'key.pem')];
  await writeFile(certFile, cert);
  await writeFile(keyFile, key);
  tls = parts.use(await startTestService({ DATABASE_URL: plain.databaseUrl, TLS_CERT: certFile, TLS_KEY: keyFile }));
});
afterAll(() => parts.disposeAsync());

const NAMES = Object.keys(TRANSPORTS) as TransportName[];
/** How each calls GetPost, as the access log has it. */
const SPOKEN: Record<TransportName, [protocol: string, httpVersion: string, method: string]> = {
  'Connect in protobuf over HTTP/1.1': ['connect', '1.1', 'POST'],
  'Connect in JSON over HTTP/1.1': ['connect', '1.1', 'POST'],
  'Connect over HTTP/1.1, reads as GET': ['connect', '1.1', 'GET'],
  'Connect over HTTP/2': ['connect', '2.0', 'POST'],
  'gRPC over HTTP/2': ['grpc', '2.0', 'POST'],
  'gRPC-Web over HTTP/1.1': ['grpc-web', '1.1', 'POST'],
  'gRPC-Web over HTTP/2': ['grpc-web', '2.0', 'POST'],
  'Connect in a browser': ['connect', '1.1', 'POST'],
  'Connect in a browser, reads as GET': ['connect', '1.1', 'GET'],
  'gRPC-Web in a browser': ['grpc-web', '1.1', 'POST'],
};

/** Lives posts through a service, and expects that it was called as `name` says. */
async function liveThrough(service: TestService, name: TransportName, options: { ca?: string }): Promise<void> {
  const transport = TRANSPORTS[name](service.url, options);
  const ids: string[] = [];
  await livePostsThrough({
    unary: (method, signal, timeoutMs, header, ...rest) => {
      const id = randomUUID();
      ids.push(id);
      return transport.unary(method, signal, timeoutMs, [...new Headers(header), ['x-request-id', id]], ...rest);
    },
    stream: (...call) => transport.stream(...call),
  });
  const [protocol, httpVersion, method] = SPOKEN[name];
  for (const id of ids) {
    const line = await service.log.line({ id });
    expect(line).toMatchObject({ msg: 'request', protocol, httpVersion });
    if (line.procedure === 'blog.v1.PostService/GetPost') expect(line.method).toBe(method);
  }
}

describe('the life of a post', () => {
  it.each(NAMES)('is the same through %s', async name => {
    await liveThrough(plain, name, {});
  });

  it.each(NAMES.filter(name => !name.includes('browser')))('is the same through %s, over TLS', async name => {
    expect(tls.url).toMatch(/^https:/);
    await liveThrough(tls, name, { ca });
  });

  it('is the same in memory, without a socket', async () => {
    const config = parseConfig({ DATABASE_URL: plain.databaseUrl, PAGE_TOKEN_SECRET: 'x'.repeat(32) });
    const db = createDatabase(new ConnectionPool(plain.databaseUrl, { ...config.database, acquireTimeoutMs: 60_000 }));
    await using feed = new ChangeFeed(plain.databaseUrl, await createLogger({ level: 'silent', format: 'json' }));
    const impl = new PostServiceImpl(new PostgresPostStore(db), new PostWatches(feed, db), 'x'.repeat(32), feed);
    try {
      const stages = [outcome(), validation(new RequestValidator().check)];
      const routes = { router: { interceptors: stages } };
      await livePostsThrough(createRouterTransport(router => router.service(PostService, impl), routes));
    } finally {
      await db.destroy();
    }
  });
});
