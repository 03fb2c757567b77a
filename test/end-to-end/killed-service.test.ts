import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { v4 as uuidv4 } from 'uuid';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { startCommand } from '#test/support/command-process.ts';
import { aPost } from '#test/support/post-builder.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { query } from '#test/support/query.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTcpProxy } from '#test/support/tcp-proxy.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database?.[Symbol.asyncDispose]());

it('a create whose service is killed after the commit and before the reply can be repeated: one row, and its answer (R25)', async () => {
  await using folder = await makeTemporaryFolder();
  const { hostname, port } = new URL(database.url);
  await using proxy = await startTcpProxy({ host: hostname, port: Number(port) });
  const settings = { PAGE_TOKEN_SECRET: 'a'.repeat(64), DATABASE_LANES: '0' };
  const serve = (url: string) => startCommand(['serve'], { DATABASE_URL: url, ...settings }, { cwd: folder.path });
  const request = { post: aPost({ author: 'R25' }), requestId: uuidv4() };
  const rows = () => query(database.url, `select id, slug from posts where author = 'R25'`);
  const connect = (baseUrl: string) => createClient(PostService, createGrpcTransport({ baseUrl }));
  {
    await using service = serve(proxy.through(database.url));
    const client = connect((await service.ready()).url);
    await client.createPost({ post: aPost() });
    // The statement gets there, and what Postgres answers comes too late for the service to hear it.
    proxy.set({ latencyMs: 3000 });
    const lost = client.createPost(request).then(
      () => 'answered',
      () => 'failed',
    );
    while ((await rows()).length === 0) await new Promise(resolve => setImmediate(resolve));
    service.signal('SIGKILL');
    expect(await lost).toBe('failed');
  }
  await using next = serve(database.url);
  const client = connect((await next.ready()).url);
  const first = await client.createPost(request);
  const second = await client.createPost(request);
  expect(await rows()).toEqual([{ id: first.post?.id, slug: request.post.slug }]);
  expect(second).toEqual(first);
  const other = { ...request, post: { ...request.post, title: 'Another' } };
  expect(await failureOf(client.createPost(other))).toMatchObject({ reason: 'REQUEST_ID_REUSED' });
});
