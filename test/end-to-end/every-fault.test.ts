import { ConnectError } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { errorInfo, fieldViolations } from '#client/errors.ts';
import { createPostClient } from '#client/node.ts';
import { validationInterceptor } from '#client/validate.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

const ID = '019a8f3c-5b7e-7c1a-9d2e-0f4b6a8c1d3e';
const NO_TIME = { seconds: 0n, nanos: -1 };

/** RPC, request, and each field that is wrong with the reason. Those of the rules in the .proto come first. */
const MANY_FAULTS = [
  [
    'createPost',
    { post: { slug: 'A B', author: 'x'.repeat(256), publishTime: NO_TIME }, requestId: 'no-uuid' },
    ['post.slug', 'post.title', 'post.author', 'request_id', 'post.publish_time'].map(invalid),
  ],
  [
    'batchCreatePosts',
    {
      requests: [
        { post: { title: '', tags: ['a', 'a'] }, requestId: ID, validateOnly: true },
        { post: { title: 'A', publishTime: NO_TIME }, requestId: ID.toUpperCase() },
        {},
      ],
    },
    [
      ...['requests[0].post.title', 'requests[0].post.tags', 'requests[2].post', 'requests[1].post.publish_time'],
      ...['requests[1].request_id', 'requests[1].validate_only', 'requests[2].validate_only'],
    ].map(invalid),
  ],
  [
    'updatePost',
    {
      post: { tags: ['x'.repeat(65)], publishTime: NO_TIME, etag: 'x'.repeat(129) },
      updateMask: { paths: ['title', 'nonsense', 'tags'] },
    },
    [
      ...['post.title', 'post.tags[0]', 'post.etag', 'post.id', 'post.publish_time'].map(invalid),
      { field: 'update_mask', reason: 'INVALID_UPDATE_MASK' },
    ],
  ],
  [
    'listPosts',
    { pageSize: -1, skip: -1, orderBy: 'title', tag: 'x'.repeat(65) },
    [...['page_size', 'skip', 'tag'].map(invalid), { field: 'order_by', reason: 'INVALID_ORDER_BY' }],
  ],
] as const;

describe('an INVALID_ARGUMENT', () => {
  it.each(MANY_FAULTS)('names every wrong field: %s', async (rpc, request, faults) => {
    const error = await errorOf(call(service.client, rpc, request));
    expect(fieldViolations(error).map(({ field, reason }) => ({ field, reason }))).toEqual(faults);
    expect(errorInfo(error)?.reason).toBe('VALIDATION_FAILED');
  });

  it.each(MANY_FAULTS)('is word for word what the client package says without asking: %s', async (rpc, request) => {
    const offline = createPostClient('http://127.0.0.1:9', { interceptors: [validationInterceptor()] });
    const [ours, theirs] = await Promise.all(
      [call(offline, rpc, request), call(service.client, rpc, request)].map(errorOf),
    );
    expect(describeError(ours)).toEqual(describeError(theirs));
  });

  it('names a token too that is none, beside other fields', async () => {
    const list = await errorOf(service.client.listPosts({ pageSize: -1, pageToken: 'none' }));
    expect(fieldViolations(list)).toMatchObject([
      { field: 'page_size', reason: 'VALIDATION_FAILED' },
      { field: 'page_token', reason: 'INVALID_PAGE_TOKEN' },
    ]);
    const watch = await errorOf(firstOf(service.client.watchPosts({ resumeToken: 'none', author: 'x'.repeat(256) })));
    expect(fieldViolations(watch)).toMatchObject([
      { field: 'author', reason: 'VALIDATION_FAILED' },
      { field: 'resume_token', reason: 'INVALID_RESUME_TOKEN' },
    ]);
  });

  it('has the reason of its faults where all have the same', async () => {
    const error = await errorOf(service.client.listPosts({ orderBy: 'title' }));
    expect(errorInfo(error)?.reason).toBe('INVALID_ORDER_BY');
  });

  it('names the first 20 of more, in the client package too', async () => {
    const request = { requests: Array.from({ length: 30 }, () => ({ post: {} })) };
    const offline = createPostClient('http://127.0.0.1:9', { interceptors: [validationInterceptor()] });
    const [ours, theirs] = await Promise.all(
      [offline, service.client].map(client => errorOf(client.batchCreatePosts(request))),
    );
    expect(fieldViolations(theirs)).toHaveLength(20);
    expect(describeError(ours)).toEqual(describeError(theirs));
  });

  it('is none for an update that leaves the title as it is', async () => {
    const { post } = await service.client.createPost({ post: { title: 'A title' } });
    const id = post?.id ?? '';
    const updated = await service.client.updatePost({ post: { id, author: 'Ada' }, updateMask: { paths: ['author'] } });
    expect(updated.post).toMatchObject({ title: 'A title', author: 'Ada' });
    expect((await service.client.updatePost({ post: { id, author: 'Bob' } })).post).toMatchObject({ title: 'A title' });
  });
});

function invalid(field: string) {
  return { field, reason: 'VALIDATION_FAILED' };
}

function call(client: TestService['client'], rpc: (typeof MANY_FAULTS)[number][0], request: object): Promise<unknown> {
  return (client[rpc] as (request: object) => Promise<unknown>)(request);
}

async function firstOf(stream: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of stream) return;
}

async function errorOf(work: Promise<unknown>): Promise<ConnectError> {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConnectError)) throw new Error('expected a ConnectError', { cause: error });
  return error;
}

function describeError(error: ConnectError | undefined) {
  const info = errorInfo(error);
  return { code: error?.code, message: error?.rawMessage, info, violations: fieldViolations(error) };
}
