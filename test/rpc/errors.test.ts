import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { type Client, createClient } from '@connectrpc/connect';
import { v4 as uuidv4, v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Post } from '#gen/blog/v1/post_pb.js';
import {
  BatchCreatePostsRequestSchema,
  BatchGetPostsRequestSchema,
  PostService,
} from '#gen/blog/v1/post_service_pb.js';
import { aPost, type PostFields } from '#test/support/post-builder.ts';
import { envelope, sendRawRpc } from '#test/support/raw-rpc.ts';
import { failureOf, type RpcFailure } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';
import { ERROR_ENCODINGS, TRANSPORTS } from '#test/support/transports.ts';

const MIB = 1024 * 1024;
const absent = uuidv7();
const requestId = uuidv4();
let service: TestService;
let live: Post;
let deleted: Post;
let large: Post[];

beforeAll(async () => {
  service = await startTestService();
  const createPost = async (fields: PostFields = {}) => {
    const { post } = await service.client.createPost({ post: aPost(fields) });
    return post as Post;
  };
  live = await createPost();
  deleted = (await service.client.deletePost({ id: (await createPost()).id })).post as Post;
  large = [];
  for (let n = 0; n < 4; n++) large.push(await createPost({ content: 'x'.repeat(MIB) }));
  await service.client.createPost({ post: aPost(), requestId });
});
afterAll(() => service?.[Symbol.asyncDispose]());

type PostClient = Client<typeof PostService>;
interface Situation {
  readonly when: string;
  readonly call: (client: PostClient) => Promise<unknown>;
  readonly gives: () => Partial<RpcFailure>;
}

/** The table of the contract, but for what has to do with the database or with time. */
const TABLE: Situation[] = [
  {
    when: 'several fields break a rule',
    call: client => client.listPosts({ pageSize: -1, skip: -1 }),
    gives: () => ({ code: 'invalid_argument', reason: 'VALIDATION_FAILED', fields: ['page_size', 'skip'] }),
  },
  {
    when: 'a required field is missing',
    call: client => client.createPost({ post: { content: 'text' } }),
    gives: () => ({ code: 'invalid_argument', reason: 'VALIDATION_FAILED', fields: ['post.title'] }),
  },
  {
    when: 'the update mask is bad',
    call: client => client.updatePost({ post: { id: live.id }, updateMask: { paths: ['nonsense'] } }),
    gives: () => ({ code: 'invalid_argument', reason: 'INVALID_UPDATE_MASK', fields: ['update_mask'] }),
  },
  {
    when: 'the page token is bad',
    call: client => client.listPosts({ pageToken: 'nonsense' }),
    gives: () => ({ code: 'invalid_argument', reason: 'INVALID_PAGE_TOKEN', fields: ['page_token'] }),
  },
  {
    when: 'the order is bad',
    call: client => client.listPosts({ orderBy: 'title' }),
    gives: () => ({ code: 'invalid_argument', reason: 'INVALID_ORDER_BY', fields: ['order_by'] }),
  },
  {
    when: 'the request_id came before with another payload',
    call: client => client.createPost({ post: aPost(), requestId }),
    gives: () => ({ code: 'invalid_argument', reason: 'REQUEST_ID_REUSED', fields: ['request_id'] }),
  },
  {
    when: 'a post is absent',
    call: client => client.getPost({ key: { case: 'id', value: absent } }),
    gives: () => ({ code: 'not_found', reason: 'POST_NOT_FOUND', metadata: { post: absent }, posts: [absent] }),
  },
  {
    when: 'a post has a name from beyond ASCII',
    call: client => client.getPost({ key: { case: 'slug', value: 'ünï-☃-😀' } }),
    gives: () => ({ code: 'not_found', message: "no post 'ünï-☃-😀'", posts: ['ünï-☃-😀'] }),
  },
  {
    when: 'a post has a name that has to be cut within a character',
    call: client => client.getPost({ key: { case: 'slug', value: `x${'😀'.repeat(199)}` } }),
    gives: () => ({ code: 'not_found', metadata: { post: `x${'😀'.repeat(127)}\ufffd` } }),
  },
  {
    when: 'a post is deleted',
    call: client => client.updatePost({ post: { id: deleted.id, title: 'x' } }),
    gives: () => ({ code: 'not_found', reason: 'POST_DELETED', posts: [deleted.id] }),
  },
  {
    when: 'a slug is taken',
    call: client => client.createPost({ post: aPost({ slug: live.slug }) }),
    gives: () => ({ code: 'already_exists', reason: 'SLUG_TAKEN', metadata: { slug: live.slug }, posts: [live.slug] }),
  },
  {
    when: 'a live post is undeleted',
    call: client => client.undeletePost({ id: live.id }),
    gives: () => ({ code: 'already_exists', reason: 'POST_NOT_DELETED', posts: [live.id] }),
  },
  {
    when: 'an etag is not current',
    call: client => client.deletePost({ id: live.id, etag: '9-abc' }),
    gives: () => ({
      code: 'aborted',
      reason: 'ETAG_MISMATCH',
      metadata: { post: live.id, current_etag: live.etag },
    }),
  },
  {
    when: 'the answer would be too large',
    call: client => client.batchGetPosts({ ids: large.map(post => post.id) }),
    gives: () => ({ code: 'resource_exhausted', reason: 'RESPONSE_TOO_LARGE' }),
  },
];

describe.each(ERROR_ENCODINGS)('errors through %s', name => {
  const client = () => createClient(PostService, TRANSPORTS[name](service.url, {}));

  it.each(TABLE)('$when', async ({ call, gives }) => {
    const failure = await failureOf(call(client()));
    expect(failure).toMatchObject(gives());
    expect(failure.retryDelayMs).toBeUndefined();
  });

  it('the request is too large', async () => {
    // What is too large is not read to its end, so no other call can use the connection.
    const { createPost } = createClient(PostService, TRANSPORTS[name](service.url, { agent: false }));
    const call = createPost({ post: aPost({ content: 'x'.repeat(4 * MIB) }) });
    expect(await failureOf(call)).toMatchObject({ code: 'resource_exhausted', reason: 'MESSAGE_TOO_LARGE' });
  });

  it('a hundred posts are absent', async () => {
    const ids = Array.from({ length: 100 }, () => uuidv7());
    const failure = await failureOf(client().batchGetPosts({ ids }));
    expect(failure).toMatchObject({ code: 'not_found', reason: 'POST_NOT_FOUND', posts: ids.slice(0, 20) });
  });

  it('a hundred posts have thousands of faults', async () => {
    const request = fromBinary(BatchCreatePostsRequestSchema, faultyPosts());
    const failure = await failureOf(client().batchCreatePosts(request));
    expect(failure).toMatchObject({ code: 'invalid_argument', reason: 'VALIDATION_FAILED' });
    expect(failure.fields).toHaveLength(20);
    expect(failure.fields).toContain('requests[0].post.title');
  });
});

describe('errors through gRPC', () => {
  it.each([
    ['a hundred absent posts', 'BatchGetPosts', absentPosts],
    ['a hundred faulty posts', 'BatchCreatePosts', faultyPosts],
  ])('fit into trailers of 8 KiB, with %s', async (_, method, request) => {
    const url = `${service.url}/blog.v1.PostService/${method}`;
    const answer = await sendRawRpc(url, 'application/grpc+proto', envelope(request()));
    expect(answer.error).toBeDefined();
    expect(answer.trailersSize).toBeLessThan(8 * 1024);
  });
});

function absentPosts(): Uint8Array {
  const ids = Array.from({ length: 100 }, () => uuidv7());
  return toBinary(BatchGetPostsRequestSchema, create(BatchGetPostsRequestSchema, { ids }));
}

function faultyPosts(): Uint8Array {
  const tags = Array.from({ length: 32 }, () => 'x\0'.repeat(40));
  const post = { title: 'x\0', slug: 'X', author: 'x\0', content: '\0', tags };
  const requests = Array.from({ length: 100 }, () => ({ post }));
  return toBinary(BatchCreatePostsRequestSchema, create(BatchCreatePostsRequestSchema, { requests }));
}
