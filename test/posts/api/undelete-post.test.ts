import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Post } from '#gen/blog/v1/post_pb.js';
import { aPost, type PostFields } from '#test/support/post-builder.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

async function create(fields: PostFields = {}): Promise<Post> {
  const { post } = await service.client.createPost({ post: aPost({ content: 'text', tags: ['a'], ...fields }) });
  if (post === undefined) throw new Error('no post in the answer');
  return post;
}
async function createDeleted(fields: PostFields = {}): Promise<Post> {
  const { post } = await service.client.deletePost({ id: (await create(fields)).id });
  if (post === undefined) throw new Error('no post in the answer');
  return post;
}
const undelete = async (request: { id: string; etag?: string }) => (await service.client.undeletePost(request)).post;
const get = async (id: string) => (await service.client.getPost({ key: { case: 'id', value: id } })).post;

describe('UndeletePost', () => {
  it('brings the post back as it was, with another etag', async () => {
    const before = await create();
    const { post: deleted } = await service.client.deletePost({ id: before.id });
    const { etag: _, updateTime: __, ...same } = before;
    const undeleted = await undelete({ id: before.id });
    expect(undeleted).toMatchObject(same);
    expect([undeleted?.deleteTime, undeleted?.purgeTime]).toEqual([undefined, undefined]);
    expect([before.etag, deleted?.etag]).not.toContain(undeleted?.etag);
    expect(await get(before.id)).toEqual(undeleted);
  });

  it('brings it back into lists, and by its slug', async () => {
    const { id, slug, author } = await createDeleted({ author: uuidv7() });
    await undelete({ id });
    expect((await service.client.listPosts({ author })).posts.map(post => post.id)).toEqual([id]);
    expect((await service.client.getPost({ key: { case: 'slug', value: slug } })).post?.id).toBe(id);
  });

  it('takes an id in upper case', async () => {
    const { id } = await createDeleted();
    expect((await undelete({ id: id.toUpperCase() }))?.id).toBe(id);
  });

  it('returns ALREADY_EXISTS for a live post', async () => {
    const { id } = await create();
    expect(await failureOf(undelete({ id }))).toMatchObject({
      code: 'already_exists',
      reason: 'POST_NOT_DELETED',
      posts: [id],
    });
  });

  it('returns ALREADY_EXISTS, with the slug, where another live post has it by now', async () => {
    const { id, slug } = await createDeleted();
    await create({ slug });
    expect(await failureOf(undelete({ id }))).toMatchObject({
      code: 'already_exists',
      reason: 'SLUG_TAKEN',
      metadata: { slug },
    });
    expect((await get(id))?.deleteTime).toBeDefined();
  });

  it('returns NOT_FOUND for an unknown post', async () => {
    const id = uuidv7();
    expect(await failureOf(undelete({ id }))).toMatchObject({
      code: 'not_found',
      reason: 'POST_NOT_FOUND',
      posts: [id],
    });
  });

  it('undeletes the version that the etag names', async () => {
    const { id, etag } = await createDeleted();
    expect((await undelete({ id, etag }))?.deleteTime).toBeUndefined();
  });

  it('returns ABORTED for the etag of another version, with that of now', async () => {
    const { id, etag } = await create();
    const { post: deleted } = await service.client.deletePost({ id });
    expect(await failureOf(undelete({ id, etag }))).toMatchObject({
      code: 'aborted',
      reason: 'ETAG_MISMATCH',
      metadata: { current_etag: deleted?.etag },
    });
  });

  it.each(['', 'nonsense'])('returns INVALID_ARGUMENT for the id %j, which is no UUID', async id => {
    expect(await failureOf(undelete({ id }))).toMatchObject({ code: 'invalid_argument', fields: ['id'] });
  });

  it('returns INVALID_ARGUMENT for an etag of more than 128 characters', async () => {
    const failure = await failureOf(undelete({ id: uuidv7(), etag: 'x'.repeat(129) }));
    expect(failure).toMatchObject({ code: 'invalid_argument', fields: ['etag'] });
  });
});
