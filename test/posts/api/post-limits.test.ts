import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aPost, aSlug, type PostFields } from '#test/support/post-builder.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const MIB = 1024 * 1024;
let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

async function create(fields: PostFields) {
  return (await service.client.createPost({ post: aPost(fields) })).post;
}
async function createFromJson(post: string): Promise<{ status: number; body: Record<string, never> }> {
  const response = await fetch(`${service.url}/blog.v1.PostService/CreatePost`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: `{"post":{"title":"A title","slug":"${aSlug()}",${post}}}`,
  });
  return { status: response.status, body: (await response.json()) as never };
}
const seconds = (date: string) => BigInt(Date.parse(date) / 1000);

/** Every field, by what it is called in errors, with values at its limit and beyond. */
const LIMITS: [field: string, limit: string, good: PostFields, bad: PostFields][] = [
  ['post.title', '1 to 255 characters', { title: 'x' }, { title: '' }],
  ['post.title', '1 to 255 characters', { title: '😀'.repeat(255) }, { title: '😀'.repeat(256) }],
  ['post.title', 'no U+0000', { title: '\u0001' }, { title: 'a\0b' }],
  ['post.content', '1 MiB of UTF-8', { content: 'x'.repeat(MIB) }, { content: 'x'.repeat(MIB + 1) }],
  ['post.content', '1 MiB of UTF-8', { content: 'é'.repeat(MIB / 2) }, { content: `${'é'.repeat(MIB / 2)}x` }],
  ['post.content', 'no U+0000', { content: '\u0001' }, { content: '\0' }],
  ['post.author', '255 characters', { author: '😀'.repeat(255) }, { author: '😀'.repeat(256) }],
  ['post.author', 'no U+0000', { author: '\u0001' }, { author: 'a\0' }],
  ['post.tags', '32 tags', { tags: numbers(32) }, { tags: numbers(33) }],
  ['post.tags', 'no tag twice', { tags: ['a', 'A'] }, { tags: ['a', 'b', 'a'] }],
  ['post.tags[1]', '1 to 64 characters', { tags: ['a', 'b'] }, { tags: ['a', ''] }],
  ['post.tags[0]', '1 to 64 characters', { tags: ['😀'.repeat(64)] }, { tags: ['😀'.repeat(65)] }],
  ['post.tags[0]', 'no U+0000', { tags: ['\u0001'] }, { tags: ['\0'] }],
  [
    'post.publish_time',
    'not before the year 1',
    { publishTime: { seconds: seconds('0001-01-01'), nanos: 0 } },
    { publishTime: { seconds: seconds('0001-01-01') - 1n, nanos: 0 } },
  ],
  [
    'post.publish_time',
    'not after the year 9999',
    { publishTime: { seconds: seconds('9999-12-31T23:59:59Z'), nanos: 999_000_000 } },
    { publishTime: { seconds: seconds('9999-12-31T23:59:59Z') + 1n, nanos: 0 } },
  ],
  [
    'post.publish_time',
    'nanos from 0 to 999,999,999',
    { publishTime: { seconds: 0n, nanos: 0 } },
    { publishTime: { seconds: 0n, nanos: -1 } },
  ],
  [
    'post.publish_time',
    'nanos from 0 to 999,999,999',
    { publishTime: { seconds: 0n, nanos: 999_000_000 } },
    { publishTime: { seconds: 0n, nanos: 1_000_000_000 } },
  ],
];

describe('the limits of a post', () => {
  it.each(LIMITS)('%s: what is just within its limit (%s) comes back as it was', async (_field, _limit, good) => {
    const created = await create(good);
    expect(created).toMatchObject(good);
    const { post } = await service.client.getPost({ key: { case: 'id', value: created?.id ?? '' } });
    expect(post).toEqual(created);
  });

  it.each(LIMITS)('%s: what is just beyond its limit (%s) is INVALID_ARGUMENT', async (field, _limit, _good, bad) => {
    expect(await failureOf(create(bad))).toMatchObject({
      code: 'invalid_argument',
      reason: 'VALIDATION_FAILED',
      fields: [field],
    });
  });

  it.each(LIMITS)('%s: UpdatePost has the same limit (%s)', async (field, _limit, good, bad) => {
    const { id = '' } = (await create({})) ?? {};
    const update = (fields: PostFields) =>
      service.client.updatePost({ post: { title: 'A title', ...fields, id }, updateMask: { paths: ['*'] } });
    expect(await failureOf(update({ slug: aSlug(), ...bad }))).toMatchObject({
      code: 'invalid_argument',
      fields: [field],
    });
    expect((await update({ slug: aSlug(), ...good })).post).toMatchObject(good);
  });

  it('names every field that breaks a rule', async () => {
    const failure = await failureOf(create({ title: 'a\0', author: 'b\0', tags: ['c', ''], slug: 'D' }));
    expect([...failure.fields].sort()).toEqual(['post.author', 'post.slug', 'post.tags[1]', 'post.title']);
  });

  it('drops what of a publish_time is finer than a millisecond', async () => {
    const created = await create({ publishTime: { seconds: -1n, nanos: 999_999_999 } });
    expect(created?.publishTime).toMatchObject({ seconds: -1n, nanos: 999_000_000 });
  });

  it.each(['"content":"a\\ud83d"', '"author":"\\ude00b"', '"tags":["a","\\ud83d\\ud83d"]'])(
    'half of a surrogate pair in JSON, as in %s, is INVALID_ARGUMENT',
    async field => {
      const { status, body } = await createFromJson(field);
      expect(status).toBe(400);
      expect(body).toMatchObject({ code: 'invalid_argument', message: expect.stringContaining('UTF8') });
    },
  );

  it('both halves of a surrogate pair, escaped in JSON, are the character', async () => {
    const { body } = await createFromJson('"author":"\\ud83d\\ude00"');
    expect(body).toMatchObject({ post: { author: '😀' } });
  });

  it('a page full of characters that JSON has to escape is listed in JSON too', async () => {
    const author = uuidv7();
    // Each control character has six in JSON, so that an answer of 3 MiB has 18.
    const fields = { author, content: '\u0001'.repeat(MIB) };
    const ids = [(await create(fields))?.id, (await create(fields))?.id, (await create(fields))?.id];
    const response = await fetch(`${service.url}/blog.v1.PostService/ListPosts`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ author, view: 'POST_VIEW_FULL', orderBy: 'create_time' }),
    });
    expect(response.status).toBe(200);
    const { posts } = (await response.json()) as { posts: { id: string; content: string }[] };
    expect(posts.map(post => post.id)).toEqual(ids);
    expect(posts.every(post => post.content === fields.content)).toBe(true);
  });
});

function numbers(length: number): string[] {
  return Array.from({ length }, (_, n) => String(n));
}
