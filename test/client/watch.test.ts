import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as node from '#client/node.ts';
import { type FollowOptions, type FollowRequest, followPosts } from '#client/watch.ts';
import * as web from '#client/web.ts';
import type { WatchPostsResponse } from '#gen/blog/v1/post_service_pb.js';
import { aPost } from '#test/support/post-builder.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTcpProxy, type TcpProxy } from '#test/support/tcp-proxy.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';
import { WatchReader } from '#test/support/watch-reader.ts';

let service: TestService;
let proxy: TcpProxy;

beforeAll(async () => {
  service = await startTestService({ PAGE_TOKEN_SECRET: SECRET });
  proxy = await startTcpProxy({ host: '127.0.0.1', port: Number(new URL(service.url).port) });
});
afterAll(async () => {
  await proxy?.[Symbol.asyncDispose]();
  await service?.[Symbol.asyncDispose]();
});

const SECRET = 's'.repeat(32);
const CLIENTS = {
  'Node, Connect': (url: string) => node.createPostClient(url),
  'Node, gRPC': (url: string) => node.createPostClient(url, { protocol: 'grpc' }),
  browser: (url: string) => web.createPostClient(url),
  'browser, gRPC-Web': (url: string) => web.createGrpcWebPostClient(url),
} as const;

describe.each(Object.entries(CLIENTS))('followPosts (%s)', (name, clientOf) => {
  function follow(url: string, options: FollowOptions = {}, request: FollowRequest = {}) {
    const ending = new AbortController();
    const changes = followPosts(clientOf(url) as node.PostClient, request, { signal: ending.signal, ...options });
    return { reader: new WatchReader<WatchPostsResponse>(changes), ending };
  }

  it('gets every change once, where connections are cut again and again', async () => {
    let lost = 0;
    const onLost = () => {
      lost++;
    };
    const { reader, ending } = follow(proxy.through(service.url), { onLost }, { author: `Cut ${name}` });
    await reader.until(({ places }) => places.length === 1);
    const titles = Array.from({ length: 20 }, (_, n) => `Post ${n}`);
    for (const [n, title] of titles.entries()) {
      await service.client.createPost({ post: aPost({ title, author: `Cut ${name}` }) });
      if (n % 5 === 0) proxy.reset();
    }
    await reader.until(({ changes }) => changes.length >= titles.length);
    expect(reader.changes.map(({ post }) => post?.title)).toEqual(titles);
    expect(lost).toBeGreaterThan(0);
    ending.abort();
    await reader.until(({ end }) => end === null);
  });

  it('goes on at the next instance on the same address', async () => {
    const settings = { DATABASE_URL: service.databaseUrl, PAGE_TOKEN_SECRET: SECRET };
    const first = await startTestService(settings);
    const { reader, ending } = follow(first.url, {}, { author: `Next ${name}` });
    await reader.until(({ places }) => places.length === 1);
    await first[Symbol.asyncDispose]();
    await service.client.createPost({ post: aPost({ author: `Next ${name}` }) });
    await using _second = await startTestService({ ...settings, PORT: new URL(first.url).port });
    await reader.until(({ changes }) => changes.length === 1);
    ending.abort();
    await reader.until(({ end }) => end === null);
  });

  it('opens another stream where one is silent for too long', async () => {
    const lost = Promise.withResolvers<void>();
    const url = proxy.through(service.url);
    const { reader, ending } = follow(url, { silenceMs: 200, onLost: () => lost.resolve() });
    await reader.until(({ places }) => places.length === 1);
    await lost.promise;
    await reader.until(({ places }) => places.length >= 2);
    ending.abort();
    await reader.until(({ end }) => end === null);
  });

  it('throws what no repetition helps with', async () => {
    const { reader } = follow(service.url, {}, { resumeToken: 'abc' });
    const ended = reader.until(() => false);
    expect(await failureOf(ended)).toMatchObject({ code: 'invalid_argument', reason: 'INVALID_RESUME_TOKEN' });
  });
});
