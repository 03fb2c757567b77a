import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Post } from '#gen/blog/v1/post_pb.js';
import { aPost } from '#test/support/post-builder.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

async function create(): Promise<Post> {
  const { post } = await service.client.createPost({ post: aPost({ content: 'text', author: 'Ada', tags: ['a'] }) });
  if (post === undefined) throw new Error('no post in the answer');
  return post;
}
const remove = async (request: { id: string; etag?: string; allowMissing?: boolean }) =>
  (await service.client.deletePost(request)).post;
const get = async (id: string) => (await service.client.getPost({ key: { case: 'id', value: id } })).post;

describe('DeletePost', () => {
  it('returns the post with its delete_time, a purge_time 30 days later, and another etag', async () => {
    const before = await create();
    const deleted = await remove({ id: before.id });
    const { etag: _, updateTime: __, deleteTime: ___, purgeTime: ____, ...same } = before;
    expect(deleted).toMatchObject(same);
    expect(deleted?.etag).not.toBe(before.etag);
    expect(deleted?.deleteTime).toEqual(deleted?.updateTime);
    expect(Number(deleted?.purgeTime?.seconds) - Number(deleted?.deleteTime?.seconds)).toBe(30 * 24 * 3600);
    expect(await get(before.id)).toEqual(deleted);
  });

  it('takes an id in upper case', async () => {
    const { id } = await create();
    expect((await remove({ id: id.toUpperCase() }))?.id).toBe(id);
  });

  it('deletes the version that the etag names', async () => {
    const { id, etag } = await create();
    expect((await remove({ id, etag }))?.deleteTime).toBeDefined();
  });

  it('returns ABORTED where the post was changed meanwhile', async () => {
    const { id, etag } = await create();
    const { post: now } = await service.client.updatePost({ post: { id, title: 'Changed' } });
    for (const allowMissing of [false, true]) {
      expect(await failureOf(remove({ id, etag, allowMissing }))).toMatchObject({
        code: 'aborted',
        reason: 'ETAG_MISMATCH',
        metadata: { current_etag: now?.etag },
      });
    }
    expect((await get(id))?.deleteTime).toBeUndefined();
  });

  it('returns NOT_FOUND for an unknown post', async () => {
    const id = uuidv7();
    expect(await failureOf(remove({ id }))).toMatchObject({ code: 'not_found', reason: 'POST_NOT_FOUND', posts: [id] });
  });

  it('returns NOT_FOUND, with a reason of its own, for a post that is deleted already', async () => {
    const { id } = await create();
    await remove({ id });
    expect(await failureOf(remove({ id }))).toMatchObject({ code: 'not_found', reason: 'POST_DELETED', posts: [id] });
  });

  it('succeeds with allow_missing for an unknown post, and returns none', async () => {
    expect(await remove({ id: uuidv7(), allowMissing: true })).toBeUndefined();
    expect(await remove({ id: uuidv7(), allowMissing: true, etag: '1-abc' })).toBeUndefined();
  });

  it('succeeds with allow_missing for a post that is deleted already, and changes nothing', async () => {
    const { id } = await create();
    const deleted = await remove({ id });
    expect(await remove({ id, allowMissing: true })).toBeUndefined();
    expect(await get(id)).toEqual(deleted);
  });

  it('deletes a live post with allow_missing too', async () => {
    const { id } = await create();
    expect((await remove({ id, allowMissing: true }))?.deleteTime).toBeDefined();
  });

  it('deletes a post once, of 20 concurrent calls', async () => {
    const { id } = await create();
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => remove({ id })));
    expect(outcomes.filter(outcome => outcome.status === 'fulfilled')).toHaveLength(1);
  });

  it.each(['', 'nonsense'])('returns INVALID_ARGUMENT for the id %j, which is no UUID', async id => {
    expect(await failureOf(remove({ id }))).toMatchObject({ code: 'invalid_argument', fields: ['id'] });
  });

  it('returns INVALID_ARGUMENT for an etag of more than 128 characters', async () => {
    const failure = await failureOf(remove({ id: uuidv7(), etag: 'x'.repeat(129) }));
    expect(failure).toMatchObject({ code: 'invalid_argument', fields: ['etag'] });
  });
});
