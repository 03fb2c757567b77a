import { fromBinary, toBinary } from '@bufbuild/protobuf';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import * as grpc from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  PostChangeKind,
  PostService,
  type WatchPostsRequest,
  WatchPostsRequestSchema,
  type WatchPostsResponse,
  WatchPostsResponseSchema,
} from '#gen/blog/v1/post_service_pb.js';
import { aPost } from '#test/support/post-builder.ts';
import { query } from '#test/support/query.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';
import { ERROR_ENCODINGS, TRANSPORTS, type TransportName } from '#test/support/transports.ts';
import { WatchReader } from '#test/support/watch-reader.ts';

let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

function clientOf(name: TransportName, url = service.url) {
  return createClient(PostService, TRANSPORTS[name](url, {}));
}

describe.each(Object.keys(TRANSPORTS) as TransportName[])('WatchPosts through %s', name => {
  it('streams changes, and goes on behind a resume_token', async () => {
    const ending = new AbortController();
    const watch = clientOf(name).watchPosts({ author: name }, { signal: ending.signal });
    const reader = new WatchReader(watch);
    await reader.until(({ places }) => places.length === 1);
    const { post } = await service.client.createPost({ post: aPost({ author: name }) });
    await service.client.createPost({ post: aPost({ author: 'Somebody else' }) });
    await service.client.deletePost({ id: post?.id ?? '' });
    await reader.until(({ changes }) => changes.length === 2);
    expect(reader.changes.map(({ kind }) => kind)).toEqual([PostChangeKind.CREATED, PostChangeKind.DELETED]);
    expect(reader.changes[0]?.post).toEqual({ ...post, content: '' });
    expect(reader.changes[1]?.post?.deleteTime).toBeDefined();
    ending.abort();

    const created = reader.places.find(({ change }) => change?.kind === PostChangeKind.CREATED);
    const again = new AbortController();
    const request = { resumeToken: created?.resumeToken ?? '', author: name };
    const resumed = new WatchReader(clientOf(name).watchPosts(request, { signal: again.signal }));
    await resumed.until(({ changes }) => changes.length === 1);
    expect(resumed.changes[0]?.kind).toBe(PostChangeKind.DELETED);
    again.abort();
  });
});

describe('WatchPosts', () => {
  it('streams to a client of grpc-js', async () => {
    const client = new grpc.Client(new URL(service.url).host, grpc.credentials.createInsecure());
    const call = client.makeServerStreamRequest<WatchPostsRequest, WatchPostsResponse>(
      '/blog.v1.PostService/WatchPosts',
      request => Buffer.from(toBinary(WatchPostsRequestSchema, request)),
      bytes => fromBinary(WatchPostsResponseSchema, bytes),
      { $typeName: 'blog.v1.WatchPostsRequest', resumeToken: '', author: 'grpc-js', tag: '' },
    );
    call.on('error', () => {});
    const reader = new WatchReader<WatchPostsResponse>(call);
    await reader.until(({ places }) => places.length === 1);
    await service.client.createPost({ post: aPost({ author: 'grpc-js' }) });
    await reader.until(({ changes }) => changes.length === 1);
    call.cancel();
    client.close();
  });

  it.each(ERROR_ENCODINGS)(
    'ends with a last resume_token and no error where the server shuts down, through %s',
    async name => {
      const other = await startTestService({ DATABASE_URL: service.databaseUrl });
      const reader = new WatchReader(clientOf(name, other.url).watchPosts({}));
      await reader.until(({ places }) => places.length === 1);
      await other[Symbol.asyncDispose]();
      await reader.until(({ end }) => end === null);
      const { resumeToken = '' } = reader.places.at(-1) ?? {};
      expect(resumeToken).toMatch(/^[\w-]{50,}$/);
    },
  );

  it('goes on at another instance with the same secret', async () => {
    const settings = { DATABASE_URL: service.databaseUrl, PAGE_TOKEN_SECRET: 's'.repeat(32) };
    const first = await startTestService(settings);
    const reader = new WatchReader(first.client.watchPosts({ author: 'Moved' }));
    await reader.until(({ places }) => places.length === 1);
    await first[Symbol.asyncDispose]();
    await reader.until(({ end }) => end === null);
    const { post } = await service.client.createPost({ post: aPost({ author: 'Moved' }) });
    await using second = await startTestService(settings);
    const { resumeToken = '' } = reader.places.at(-1) ?? {};
    const resumed = new WatchReader(second.client.watchPosts({ resumeToken, author: 'Moved' }));
    await resumed.until(({ changes }) => changes.length === 1);
    expect(resumed.changes[0]?.post?.id).toBe(post?.id);
  });

  it.each(ERROR_ENCODINGS)('refuses a token that is none, through %s', async name => {
    expect(await failureOf(firstOf(clientOf(name).watchPosts({ resumeToken: 'abc' })))).toMatchObject({
      code: 'invalid_argument',
      reason: 'INVALID_RESUME_TOKEN',
      fields: ['resume_token'],
    });
  });

  it.each(ERROR_ENCODINGS)('says so where changes since the token have been removed, through %s', async name => {
    const { resumeToken } = await firstOf(service.client.watchPosts({}));
    await query(service.databaseUrl, 'update post_changes_removed set xid = pg_current_xact_id()');
    expect(await failureOf(firstOfChanges(clientOf(name).watchPosts({ resumeToken })))).toMatchObject({
      code: 'out_of_range',
      reason: 'RESUME_TOKEN_EXPIRED',
    });
  });

  it('ends when its deadline has passed', async () => {
    const watch = service.client.watchPosts({}, { timeoutMs: 50 });
    const reader = new WatchReader(watch);
    await reader.until(({ end }) => end !== undefined).catch(() => {});
    expect(ConnectError.from(reader.end).code).toBe(Code.DeadlineExceeded);
  });
});

async function firstOf(watch: AsyncIterable<WatchPostsResponse>): Promise<WatchPostsResponse> {
  for await (const response of watch) return response;
  throw new Error('the stream has ended');
}

async function firstOfChanges(watch: AsyncIterable<WatchPostsResponse>): Promise<WatchPostsResponse> {
  for await (const response of watch) if (response.change !== undefined) return response;
  throw new Error('the stream has ended');
}
