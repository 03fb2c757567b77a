import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { v4 as uuidv4, v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aPost, aSlug, type PostFields } from '#test/support/post-builder.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

async function create(fields: PostFields, options: { requestId?: string; validateOnly?: boolean } = {}) {
  const { post } = await service.client.createPost({ post: fields, ...options });
  if (post === undefined) throw new Error('no post in the answer');
  return post;
}
const get = async (id: string) => (await service.client.getPost({ key: { case: 'id', value: id } })).post;
async function countBy(author: string) {
  return (await service.client.listPosts({ author, pageSize: 100 })).posts.length;
}

describe('CreatePost', () => {
  it('gives a new post a UUIDv7, an etag, and one create_time and update_time', async () => {
    const post = await create(aPost());
    expect(post.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    expect(post.etag).not.toBe('');
    expect(post.createTime).toBeDefined();
    expect(post.updateTime).toEqual(post.createTime);
    expect([post.deleteTime, post.purgeTime]).toEqual([undefined, undefined]);
  });

  it('answers with the post as it is stored', async () => {
    const post = await create(aPost({ content: 'text', author: 'Ada', tags: ['a'] }));
    expect(await get(post.id)).toEqual(post);
  });

  it('ignores output-only fields', async () => {
    const time = timestampFromDate(new Date('2001-01-01'));
    const given = {
      id: uuidv7(),
      createTime: time,
      updateTime: time,
      deleteTime: time,
      purgeTime: time,
      etag: '7-abc',
    };
    const post = await create(aPost(given));
    for (const [name, value] of Object.entries(given)) expect(post).not.toHaveProperty(name, value);
    expect(post.deleteTime).toBeUndefined();
  });

  it('makes a draft of a post without publish_time', async () => {
    expect((await create(aPost())).publishTime).toBeUndefined();
  });

  it('returns INVALID_ARGUMENT without a post', async () => {
    const call = service.client.createPost({});
    expect(await failureOf(call)).toMatchObject({ code: 'invalid_argument', fields: ['post'] });
  });

  describe('slug', () => {
    it('is derived from the title where it is empty', async () => {
      expect((await create({ title: '  Hello,  Wörld! 2026 ' })).slug).toBe('hello-world-2026');
    });

    it.each(['☃', '😀', '---', ' '])('is the id where the title %j has no letter or digit for one', async title => {
      const post = await create({ title });
      expect(post.slug).toBe(post.id);
    });

    it('is kept as it is given', async () => {
      const slug = `-${uuidv7()}--`;
      expect((await create(aPost({ slug }))).slug).toBe(slug);
    });

    it('may have 200 characters, and has no more where it is derived', async () => {
      const slug = uuidv7().padEnd(200, 'x');
      expect((await create(aPost({ slug }))).slug).toBe(slug);
      expect((await create({ title: 'derived '.repeat(31) })).slug.length).toBeLessThanOrEqual(200);
    });

    it.each(['x'.repeat(201), 'Upper', 'under_score', 'a b', 'é', 'a/b', 'a\n'])(
      '%j is INVALID_ARGUMENT',
      async slug => {
        const failure = await failureOf(create(aPost({ slug })));
        expect(failure).toMatchObject({ code: 'invalid_argument', fields: ['post.slug'] });
      },
    );

    it('of a live post is ALREADY_EXISTS, and says which', async () => {
      const { slug } = await create(aPost());
      expect(await failureOf(create(aPost({ slug })))).toMatchObject({
        code: 'already_exists',
        reason: 'SLUG_TAKEN',
        metadata: { slug },
      });
    });

    it('that is derived and taken gets the end of the id', async () => {
      await create({ title: 'Taken once' });
      const { id, slug } = await create({ title: 'taken ONCE' });
      expect(slug).toBe(`taken-once-${id.slice(-6)}`);
    });

    it('of a deleted post is free', async () => {
      const { id, slug } = await create(aPost());
      await service.client.deletePost({ id });
      expect((await create(aPost({ slug }))).slug).toBe(slug);
    });
  });

  describe('request_id', () => {
    it('repeated with the same payload returns the first result, and writes nothing', async () => {
      const [author, requestId] = [uuidv7(), uuidv4()];
      const fields = { title: author, author, tags: ['a'], publishTime: timestampFromDate(new Date()) };
      const first = await create(fields, { requestId });
      expect(await create(fields, { requestId })).toEqual(first);
      expect(await countBy(author)).toBe(1);
    });

    it('is the same in upper and lower case', async () => {
      const [fields, requestId] = [aPost(), uuidv4()];
      const first = await create(fields, { requestId });
      expect(await create(fields, { requestId: requestId.toUpperCase() })).toEqual(first);
    });

    it('returns the first result even when the post was changed, or deleted, meanwhile', async () => {
      const [fields, requestId] = [aPost(), uuidv4()];
      const first = await create(fields, { requestId });
      await service.client.updatePost({ post: { id: first.id, title: 'Changed' } });
      expect(await create(fields, { requestId })).toEqual(first);
      await service.client.deletePost({ id: first.id });
      expect(await create(fields, { requestId })).toEqual(first);
    });

    const other: [string, PostFields][] = [
      ['slug', { slug: 'another-slug' }],
      ['title', { title: 'Other' }],
      ['content', { content: 'other' }],
      ['author', { author: 'other' }],
      ['tags', { tags: ['other'] }],
      ['publish_time', { publishTime: timestampFromDate(new Date(0)) }],
    ];
    it.each(other)('repeated with another %s is INVALID_ARGUMENT, and writes nothing', async (_, change) => {
      const [author, requestId] = [uuidv7(), uuidv4()];
      const fields = aPost({ author });
      await create(fields, { requestId });
      expect(await failureOf(create({ ...fields, ...change }, { requestId }))).toMatchObject({
        code: 'invalid_argument',
        reason: 'REQUEST_ID_REUSED',
        fields: ['request_id'],
      });
      expect(await countBy(author)).toBe(1);
    });

    it('is free again where the call failed', async () => {
      const [{ slug }, requestId] = [await create(aPost()), uuidv4()];
      await failureOf(create(aPost({ slug }), { requestId }));
      expect((await create(aPost({ title: 'Second' }), { requestId })).title).toBe('Second');
    });

    it('that is no UUID is INVALID_ARGUMENT', async () => {
      const failure = await failureOf(create(aPost(), { requestId: 'mine-1' }));
      expect(failure).toMatchObject({ code: 'invalid_argument', fields: ['request_id'] });
    });
  });

  describe('validate_only', () => {
    it('answers as the call would, and writes nothing', async () => {
      const [author, requestId] = [uuidv7(), uuidv4()];
      const fields = aPost({ author, tags: ['a'] });
      const tried = await create(fields, { requestId, validateOnly: true });
      expect(tried).toMatchObject(fields);
      expect(await failureOf(get(tried.id))).toMatchObject({ code: 'not_found' });
      expect(await countBy(author)).toBe(0);
      // The request id and the slug are still to be had.
      expect((await create({ ...fields, title: 'In earnest' }, { requestId })).title).toBe('In earnest');
    });

    it('finds what the call would be refused for', async () => {
      const { slug } = await create(aPost());
      const try_ = (fields: PostFields) => failureOf(create(fields, { validateOnly: true }));
      expect(await try_(aPost({ slug }))).toMatchObject({ code: 'already_exists', reason: 'SLUG_TAKEN' });
      expect(await try_({ slug: aSlug() })).toMatchObject({ code: 'invalid_argument', fields: ['post.title'] });
    });

    it('returns the first result of a request_id that was used, or refuses another payload', async () => {
      const [fields, requestId] = [aPost(), uuidv4()];
      const first = await create(fields, { requestId });
      expect(await create(fields, { requestId, validateOnly: true })).toEqual(first);
      const reused = create(aPost(), { requestId, validateOnly: true });
      expect(await failureOf(reused)).toMatchObject({ reason: 'REQUEST_ID_REUSED' });
    });
  });
});
