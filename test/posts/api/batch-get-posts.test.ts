import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Post } from '#gen/blog/v1/post_pb.js';
import { aPost, type PostFields } from '#test/support/post-builder.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const MIB = 1024 * 1024;
let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

/** Creates one post for each of the fields. */
async function create(...all: PostFields[]): Promise<Post[]> {
  const { posts } = await service.client.batchCreatePosts({ requests: all.map(fields => ({ post: aPost(fields) })) });
  return posts;
}
const get = async (...ids: string[]) => (await service.client.batchGetPosts({ ids })).posts;

describe('BatchGetPosts', () => {
  it('returns the posts in the order asked for', async () => {
    const [a, b, c] = await create({ title: 'a' }, { title: 'b' }, { title: 'c' });
    expect(await get(c?.id ?? '', a?.id ?? '', b?.id ?? '')).toEqual([c, a, b]);
  });

  it('returns a post twice that is asked for twice, in whatever case', async () => {
    const [post] = await create({});
    const id = post?.id ?? '';
    expect(await get(id, id.toUpperCase())).toEqual([post, post]);
  });

  it('returns soft-deleted posts too', async () => {
    const [post] = await create({});
    const { post: deleted } = await service.client.deletePost({ id: post?.id ?? '' });
    expect(await get(post?.id ?? '')).toEqual([deleted]);
  });

  it('returns 100 posts', async () => {
    const ids = (await create(...Array.from({ length: 100 }, () => ({})))).map(post => post.id).reverse();
    expect((await get(...ids)).map(post => post.id)).toEqual(ids);
  });

  it('returns none where some are absent: NOT_FOUND, which names each of them once', async () => {
    const [post] = await create({});
    const [first, second] = [uuidv7(), uuidv7()];
    expect(await failureOf(get(second, post?.id ?? '', first, second))).toMatchObject({
      code: 'not_found',
      reason: 'POST_NOT_FOUND',
      posts: [second, first],
    });
  });

  it.each([0, 101])('returns INVALID_ARGUMENT for %i ids', async length => {
    const ids = Array.from({ length }, () => uuidv7());
    expect(await failureOf(get(...ids))).toMatchObject({ code: 'invalid_argument', fields: ['ids'] });
  });

  it('returns INVALID_ARGUMENT for what is no UUID, and says which', async () => {
    expect(await failureOf(get(uuidv7(), 'nonsense', uuidv7(), ''))).toMatchObject({
      code: 'invalid_argument',
      fields: ['ids[1]', 'ids[3]'],
    });
  });

  it('returns posts with 3 MiB of content', async () => {
    const posts = await create(...Array.from({ length: 3 }, () => ({ content: 'x'.repeat(MIB) })));
    expect(await get(...posts.map(post => post.id))).toEqual(posts);
  });

  it('returns RESOURCE_EXHAUSTED for posts with more than 3 MiB of content', async () => {
    const posts = await create(
      ...['x'.repeat(MIB), 'x'.repeat(MIB), 'x'.repeat(MIB), 'x'].map(content => ({ content })),
    );
    expect(await failureOf(get(...posts.map(post => post.id)))).toMatchObject({
      code: 'resource_exhausted',
      reason: 'RESPONSE_TOO_LARGE',
      metadata: { max_content_bytes: String(3 * MIB) },
    });
  });

  it('counts the content of a post as often as it is asked for', async () => {
    const [post] = await create({ content: 'x'.repeat(MIB) });
    const id = post?.id ?? '';
    expect(await get(id, id, id)).toEqual([post, post, post]);
    expect(await failureOf(get(id, id, id, id))).toMatchObject({ reason: 'RESPONSE_TOO_LARGE' });
  });

  it('has no side effects: it may be called with an HTTP GET', async () => {
    const ids = (await create({}, {})).map(post => post.id);
    const query = new URLSearchParams({ connect: 'v1', encoding: 'json', message: JSON.stringify({ ids }) });
    const response = await fetch(`${service.url}/blog.v1.PostService/BatchGetPosts?${query}`);
    expect(await response.json()).toMatchObject({ posts: ids.map(id => ({ id })) });
  });
});
