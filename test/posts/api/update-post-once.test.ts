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

async function create(): Promise<Post> {
  const { post } = await service.client.createPost({ post: aPost() });
  if (post === undefined) throw new Error('no post in the answer');
  return post;
}
const update = async (post: PostFields, validateOnly = false) =>
  (await service.client.updatePost({ post, validateOnly })).post;
const get = async (id: string) => (await service.client.getPost({ key: { case: 'id', value: id } })).post;

describe('UpdatePost with an etag', () => {
  it('updates the version that the etag names', async () => {
    const { id, etag } = await create();
    expect(await update({ id, etag, title: 'After' })).toMatchObject({ title: 'After' });
  });

  it('returns ABORTED where the post was changed meanwhile, with its etag of now', async () => {
    const { id, etag } = await create();
    const now = await update({ id, title: 'By somebody else' });
    expect(await failureOf(update({ id, etag, title: 'After' }))).toMatchObject({
      code: 'aborted',
      reason: 'ETAG_MISMATCH',
      metadata: { post: id, current_etag: now?.etag },
    });
    expect(await get(id)).toEqual(now);
  });

  it('returns ABORTED also where no field is to be changed', async () => {
    const { id, etag } = await create();
    await update({ id, title: 'By somebody else' });
    expect(await failureOf(update({ id, etag }))).toMatchObject({ code: 'aborted', reason: 'ETAG_MISMATCH' });
  });

  it.each(['nonsense', '1', '-', 'a\0b', '1-zzzzzzzzzz', '999999999999999999-a', 'x'.repeat(128)])(
    'returns ABORTED for %j, which is no etag of ours',
    async etag => {
      const { id } = await create();
      expect(await failureOf(update({ id, etag, title: 'After' }))).toMatchObject({ code: 'aborted' });
    },
  );

  it('returns INVALID_ARGUMENT for an etag of more than 128 characters', async () => {
    const { id } = await create();
    const failure = await failureOf(update({ id, etag: 'x'.repeat(129), title: 'After' }));
    expect(failure).toMatchObject({ code: 'invalid_argument', fields: ['post.etag'] });
  });

  it('lets one of 20 concurrent updates through', async () => {
    const { id, etag } = await create();
    const titles = Array.from({ length: 20 }, (_, n) => `Title ${n}`);
    const outcomes = await Promise.allSettled(titles.map(title => update({ id, etag, title })));
    const winners = outcomes.flatMap(outcome => (outcome.status === 'fulfilled' ? [outcome.value] : []));
    expect(winners).toHaveLength(1);
    expect(await get(id)).toEqual(winners[0]);
    for (const outcome of outcomes) {
      if (outcome.status === 'rejected') {
        expect(await failureOf(Promise.reject(outcome.reason))).toMatchObject({ reason: 'ETAG_MISMATCH' });
      }
    }
  });
});

describe('UpdatePost with validate_only', () => {
  it('answers as the call would, and writes nothing', async () => {
    const before = await create();
    const tried = await update({ id: before.id, etag: before.etag, title: 'After', tags: ['new'] }, true);
    expect(tried).toMatchObject({ id: before.id, title: 'After', tags: ['new'] });
    expect(await get(before.id)).toEqual(before);
    expect((await service.client.listPosts({ tag: 'new' })).posts).toEqual([]);
  });

  it('finds what the call would be refused for', async () => {
    const [post, other] = [await create(), await create()];
    const { id } = post;
    expect(await failureOf(update({ id, slug: other.slug }, true))).toMatchObject({ reason: 'SLUG_TAKEN' });
    expect(await failureOf(update({ id, etag: other.etag.replace(/^1/, '2'), title: 'x' }, true))).toMatchObject({
      reason: 'ETAG_MISMATCH',
    });
    await service.client.deletePost({ id });
    expect(await failureOf(update({ id, title: 'After' }, true))).toMatchObject({ reason: 'POST_DELETED' });
  });
});
