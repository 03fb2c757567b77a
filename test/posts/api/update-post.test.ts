import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Post } from '#gen/blog/v1/post_pb.js';
import { aPost, aSlug, type PostFields } from '#test/support/post-builder.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

const FULL = {
  title: 'Before',
  content: 'text',
  author: 'Ada',
  tags: ['a', 'b'],
  publishTime: timestampFromDate(new Date('2026-01-01')),
};
/** Creates a post that has every field. */
async function create(fields: PostFields = {}): Promise<Post> {
  const { post } = await service.client.createPost({ post: aPost({ ...FULL, ...fields }) });
  if (post === undefined) throw new Error('no post in the answer');
  return post;
}
async function update(post: PostFields, ...paths: string[]) {
  return (await service.client.updatePost({ post, ...(paths.length > 0 && { updateMask: { paths } }) })).post;
}
const get = async (id: string) => (await service.client.getPost({ key: { case: 'id', value: id } })).post;

describe('UpdatePost', () => {
  it('answers with the post as it is stored then, with another etag and a later update_time', async () => {
    const before = await create();
    const after = await update({ id: before.id, title: 'After' });
    expect(await get(before.id)).toEqual(after);
    expect(after?.etag).not.toBe(before.etag);
    expect(after?.createTime).toEqual(before.createTime);
    expect(millis(after?.updateTime)).toBeGreaterThanOrEqual(millis(before.updateTime));
  });

  it('takes an id in upper case', async () => {
    const { id } = await create();
    expect(await update({ id: id.toUpperCase(), title: 'After' })).toMatchObject({ id, title: 'After' });
  });

  describe('update_mask', () => {
    it('absent: sets the populated fields, and leaves the others', async () => {
      const before = await create();
      const after = await update({ id: before.id, title: 'After', tags: ['c'] });
      expect(after).toMatchObject({ ...FULL, slug: before.slug, title: 'After', tags: ['c'] });
    });

    it('absent, and no field populated: changes nothing', async () => {
      const before = await create();
      expect(await update({ id: before.id })).toEqual(before);
    });

    it('sets the fields that it names, and no other', async () => {
      const { id } = await create();
      const after = await update({ id, title: 'After', author: 'Bob', content: 'other' }, 'title', 'author');
      expect(after).toMatchObject({ ...FULL, title: 'After', author: 'Bob' });
    });

    it('empty: names nothing, and changes nothing', async () => {
      const before = await create();
      const post = { id: before.id, title: 'After' };
      expect((await service.client.updatePost({ post, updateMask: { paths: [] } })).post).toEqual(before);
    });

    it('clears the fields that it names and that are not populated', async () => {
      const { id } = await create();
      const after = await update({ id }, 'content', 'author', 'tags', 'publish_time');
      expect(after).toMatchObject({ title: FULL.title, content: '', author: '', tags: [] });
      expect(after?.publishTime).toBeUndefined();
    });

    it('*: sets all fields', async () => {
      const { id } = await create();
      const slug = aSlug();
      const after = await update({ id, title: 'After', slug }, '*');
      expect(after).toMatchObject({ title: 'After', slug, content: '', author: '', tags: [] });
      expect(after?.publishTime).toBeUndefined();
    });

    it('may name a field twice', async () => {
      const { id } = await create();
      expect(await update({ id, title: 'After' }, 'title', 'title')).toMatchObject({ ...FULL, title: 'After' });
    });

    it.each(['nonsense', 'Title', 'publishTime', 'post.title', 'tags.0', 'title.*', '', ' ', '__proto__', '$typeName'])(
      'with the unknown path %j is INVALID_ARGUMENT, and changes nothing',
      async path => {
        const before = await create();
        expect(await failureOf(update({ id: before.id, title: 'After' }, 'title', path))).toMatchObject({
          code: 'invalid_argument',
          reason: 'INVALID_UPDATE_MASK',
          fields: ['update_mask'],
        });
        expect(await get(before.id)).toEqual(before);
      },
    );

    it('with * beside another path is INVALID_ARGUMENT', async () => {
      const { id } = await create();
      const failure = await failureOf(update({ id, title: 'After' }, '*', 'title'));
      expect(failure).toMatchObject({ code: 'invalid_argument', reason: 'INVALID_UPDATE_MASK' });
    });

    it('may name output-only fields, which are ignored', async () => {
      const before = await create();
      const time = timestampFromDate(new Date('2001-01-01'));
      const given = { id: before.id, createTime: time, updateTime: time, deleteTime: time, purgeTime: time };
      const paths = ['id', 'create_time', 'update_time', 'delete_time', 'purge_time', 'etag'];
      expect(await update(given, ...paths)).toEqual(before);
      const after = await update({ ...given, author: 'Bob' }, 'author', ...paths);
      expect(after).toMatchObject({ author: 'Bob', createTime: before.createTime });
      expect([after?.deleteTime, after?.purgeTime]).toEqual([undefined, undefined]);
    });

    it('may be sent in JSON, in camel case as JSON has it', async () => {
      const { id } = await create();
      const response = await fetch(`${service.url}/blog.v1.PostService/UpdatePost`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ post: { id, title: 'After' }, updateMask: 'title,publishTime' }),
      });
      const { post } = (await response.json()) as { post: Record<string, unknown> };
      expect(post).toMatchObject({ title: 'After', content: 'text' });
      expect(post).not.toHaveProperty('publishTime');
    });
  });

  it('returns INVALID_ARGUMENT for a title that is cleared', async () => {
    const { id } = await create();
    expect(await failureOf(update({ id }, 'title'))).toMatchObject({
      code: 'invalid_argument',
      fields: ['post.title'],
    });
  });

  describe('slug', () => {
    it('is derived from the new title where it is cleared', async () => {
      const { id } = await create();
      expect(await update({ id, title: 'Quite another title' }, 'title', 'slug')).toMatchObject({
        slug: 'quite-another-title',
      });
    });

    it('is the id where it is cleared and the title has no letter or digit for one', async () => {
      const { id } = await create();
      expect(await update({ id: id.toUpperCase(), title: '☃' }, 'title', 'slug')).toMatchObject({ slug: id });
    });

    it('cleared without the title is INVALID_ARGUMENT', async () => {
      const { id } = await create();
      expect(await failureOf(update({ id }, 'slug'))).toMatchObject({
        code: 'invalid_argument',
        fields: ['post.slug'],
      });
    });

    it('stays when the title changes', async () => {
      const { id, slug } = await create();
      expect(await update({ id, title: 'After' })).toMatchObject({ slug });
    });

    it('may be set to what it is', async () => {
      const { id, slug } = await create();
      expect(await update({ id, slug }, 'slug')).toMatchObject({ slug });
    });

    it('of another live post is ALREADY_EXISTS', async () => {
      const [{ id }, { slug }] = [await create(), await create()];
      expect(await failureOf(update({ id, slug }))).toMatchObject({
        code: 'already_exists',
        reason: 'SLUG_TAKEN',
        metadata: { slug },
      });
    });

    it('of a deleted post is free', async () => {
      const [{ id }, deleted] = [await create(), await create()];
      await service.client.deletePost({ id: deleted.id });
      expect(await update({ id, slug: deleted.slug })).toMatchObject({ slug: deleted.slug });
    });
  });

  it('returns NOT_FOUND for an unknown post', async () => {
    const id = uuidv7();
    const failure = { code: 'not_found', reason: 'POST_NOT_FOUND', posts: [id] };
    expect(await failureOf(update({ id, title: 'After' }))).toMatchObject(failure);
    expect(await failureOf(update({ id }))).toMatchObject(failure);
  });

  it('returns NOT_FOUND, with a reason of its own, for a deleted post', async () => {
    const { id } = await create();
    await service.client.deletePost({ id });
    const failure = { code: 'not_found', reason: 'POST_DELETED', posts: [id] };
    expect(await failureOf(update({ id, title: 'After' }))).toMatchObject(failure);
    expect(await failureOf(update({ id }))).toMatchObject(failure);
  });

  it('returns INVALID_ARGUMENT without a post, without its id, or with what is no UUID', async () => {
    const call = service.client.updatePost({});
    expect(await failureOf(call)).toMatchObject({ code: 'invalid_argument', fields: ['post'] });
    for (const id of ['', '17']) {
      expect(await failureOf(update({ id, title: 'After' }))).toMatchObject({
        code: 'invalid_argument',
        fields: ['post.id'],
      });
    }
  });
});

function millis(time: Post['updateTime']): number {
  return Number(time?.seconds) * 1000 + Number(time?.nanos) / 1e6;
}
