import { once } from 'node:events';
import { createServer as createHttp1Server, type IncomingHttpHeaders } from 'node:http';
import { createServer as createHttp2Server } from 'node:http2';
import type { AddressInfo, Server } from 'node:net';
import { createClient } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { ServerReflection } from '#gen/grpc/reflection/v1/reflection_pb.js';
import { type DeployedProxy, startHaproxy, startNginx } from '#test/support/deployed-proxy.ts';
import { aPost } from '#test/support/post-builder.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';
import { TRANSPORTS, type TransportName } from '#test/support/transports.ts';
import { WatchReader } from '#test/support/watch-reader.ts';

const MIB = 2 ** 20;
/** Those that can be told to trust the proxy's certificate. */
const NAMES = (Object.keys(TRANSPORTS) as TransportName[]).filter(name => !name.includes('browser'));

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

describe.each([
  ['deploy/nginx.conf', startNginx],
  ['deploy/haproxy.cfg', startHaproxy],
] as const)('%s', (_, startProxy) => {
  let proxy: DeployedProxy;
  beforeAll(async () => {
    proxy = await startProxy(service);
  });
  afterAll(() => proxy?.[Symbol.asyncDispose]());

  const clientOf = (name: TransportName, agent?: false) =>
    createClient(PostService, TRANSPORTS[name](proxy.url, { ca: proxy.ca, agent }));

  describe.each(NAMES)('through %s', name => {
    it('carries calls', async () => {
      const created = await clientOf(name).createPost({ post: aPost() });
      const id = created.post?.id ?? '';
      expect((await clientOf(name).getPost({ key: { case: 'id', value: id } })).post).toEqual(created.post);
    });

    it('carries errors with all their details', async () => {
      // Above what trailers are by default, and below what gRPC clients take.
      const ids = Array.from({ length: 20 }, (_, i) => `0190a5b2-0000-7000-8000-${String(i).padStart(12, '0')}`);
      const failure = await failureOf(clientOf(name).batchGetPosts({ ids }));
      expect(failure).toMatchObject({ code: 'not_found', reason: 'POST_NOT_FOUND', posts: ids });
    });

    it('carries a message of almost 4 MiB', async () => {
      // The answer has ids, times and etags besides, and must stay below 4 MiB as well.
      const content = 'x'.repeat(MIB - 500);
      const requests = Array.from({ length: 4 }, () => ({ post: aPost({ content }) }));
      const { posts } = await clientOf(name).batchCreatePosts({ requests });
      expect(posts).toHaveLength(4);
    });

    it('leaves it to the service to refuse what is larger', async () => {
      const content = 'x'.repeat(MIB - 100);
      const requests = Array.from({ length: 4 }, () => ({ post: aPost({ content }) }));
      requests.push({ post: aPost({ content: 'x'.repeat(MIB / 2) }) });
      // An HTTP/1.1 connection ends with such an answer, so no other test may get it.
      const failure = await failureOf(clientOf(name, false).batchCreatePosts({ requests }));
      expect(failure).toMatchObject({ code: 'resource_exhausted', reason: 'MESSAGE_TOO_LARGE' });
    });

    it('hands on each change of a watch at once', async () => {
      const ending = new AbortController();
      const author = `${name} of a watch`;
      const reader = new WatchReader(clientOf(name).watchPosts({ author }, { signal: ending.signal }));
      await reader.until(({ places }) => places.length === 1);
      for (let count = 1; count <= 3; count++) {
        await service.client.createPost({ post: aPost({ author }) });
        await reader.until(({ changes }) => changes.length === count);
      }
      ending.abort();
    });
  });

  it('carries a stream in both directions, as server reflection is over gRPC', async () => {
    const client = createClient(ServerReflection, TRANSPORTS['gRPC over HTTP/2'](proxy.url, { ca: proxy.ca }));
    const answered = Promise.withResolvers<void>();
    async function* questions() {
      yield { messageRequest: { case: 'listServices', value: '' } } as const;
      // The second question waits for the first answer, so no proxy can wait for the end of the questions.
      await answered.promise;
      yield { messageRequest: { case: 'fileByFilename', value: 'blog/v1/post.proto' } } as const;
    }
    const cases: unknown[] = [];
    for await (const { messageResponse } of client.serverReflectionInfo(questions())) {
      answered.resolve();
      cases.push(messageResponse.case);
    }
    expect(cases).toEqual(['listServicesResponse', 'fileDescriptorResponse']);
  });
});

describe.each([
  ['deploy/nginx.conf', startNginx, 'Connect over HTTP/2', startHttp1Recorder],
  ['deploy/nginx.conf', startNginx, 'gRPC over HTTP/2', startHttp2Recorder],
  ['deploy/haproxy.cfg', startHaproxy, 'Connect over HTTP/2', startHttp2Recorder],
] as const)('%s', (_, startProxy, transport, startRecorder) => {
  it(`tells the address of the client, whatever that claims, for ${transport}`, async () => {
    await using recorder = await startRecorder();
    await using proxy = await startProxy({ url: recorder.url, adminUrl: service.adminUrl });
    const client = createClient(PostService, TRANSPORTS[transport](proxy.url, { ca: proxy.ca }));
    const headers = { 'x-forwarded-for': '192.0.2.1', forwarded: 'for=192.0.2.1' };
    await client.createPost({}, { headers }).catch(() => {});
    expect(recorder.seen.forwarded).toBeUndefined();
    expect(recorder.seen['x-forwarded-for']).toBe('127.0.0.1');
  });
});

/** Stands where the service would be, and keeps the fields of the last POST. */
interface Recorder extends AsyncDisposable {
  readonly url: string;
  readonly seen: IncomingHttpHeaders;
}

async function startHttp1Recorder(): Promise<Recorder> {
  const recorder = { seen: {} };
  const server = createHttp1Server((request, response) => {
    if (request.method === 'POST') recorder.seen = request.headers;
    response.end();
  });
  return listen(server, recorder);
}

async function startHttp2Recorder(): Promise<Recorder> {
  const recorder = { seen: {} };
  const server = createHttp2Server((request, response) => {
    if (request.method === 'POST') recorder.seen = request.headers;
    response.end();
  });
  return listen(server, recorder);
}

async function listen(server: Server, recorder: { seen: IncomingHttpHeaders }): Promise<Recorder> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(recorder, { url, [Symbol.asyncDispose]: async () => void server.close() });
}
