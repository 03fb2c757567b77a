import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aPost, aSlug, type PostFields } from '#test/support/post-builder.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

async function create(fields: PostFields = {}) {
  const { post } = await service.client.createPost({ post: aPost(fields) });
  if (post === undefined) throw new Error('no post in the answer');
  return post;
}
const byId = async (value: string) => (await service.client.getPost({ key: { case: 'id', value } })).post;
const bySlug = async (value: string) => (await service.client.getPost({ key: { case: 'slug', value } })).post;

describe('GetPost', () => {
  it('returns a post by its id, with every field as it was created', async () => {
    const fields = {
      slug: aSlug(),
      title: ' <b>Ünï</b> ☃ 😀 é ',
      content: '# A\r\n\r\n<script>alert(1)</script>\t\\ \u{10ffff}\n',
      author: 'Ada Lovelace',
      tags: ['B', 'a', 'b'],
      publishTime: timestampFromDate(new Date('2026-01-02T03:04:05.678Z')),
    };
    const created = await create(fields);
    expect(created).toMatchObject(fields);
    expect(await byId(created.id)).toEqual(created);
  });

  it('returns a post by its slug', async () => {
    const created = await create();
    expect(await bySlug(created.slug)).toEqual(created);
  });

  it('takes an id in upper case, and returns it in lower case', async () => {
    const { id } = await create();
    expect((await byId(id.toUpperCase()))?.id).toBe(id);
  });

  it('returns a soft-deleted post, with its delete_time', async () => {
    const { id } = await create();
    const { post: deleted } = await service.client.deletePost({ id });
    expect(deleted?.deleteTime).toBeDefined();
    expect(await byId(id)).toEqual(deleted);
  });

  it('returns by slug the live post before a deleted one', async () => {
    const slug = aSlug();
    await service.client.deletePost({ id: (await create({ slug })).id });
    const live = await create({ slug });
    expect(await bySlug(slug)).toEqual(live);
  });

  it('returns by slug the post deleted last where none is live', async () => {
    const slug = aSlug();
    const first = await create({ slug });
    await service.client.deletePost({ id: first.id });
    const second = await create({ slug });
    await service.client.deletePost({ id: second.id });
    expect((await bySlug(slug))?.id).toBe(second.id);
  });

  it('returns NOT_FOUND for an unknown id, which it names', async () => {
    const id = uuidv7();
    expect(await failureOf(byId(id))).toMatchObject({
      code: 'not_found',
      reason: 'POST_NOT_FOUND',
      metadata: { post: id },
      posts: [id],
    });
  });

  it('returns NOT_FOUND for an unknown slug, which it names', async () => {
    expect(await failureOf(bySlug('no-such-post'))).toMatchObject({
      code: 'not_found',
      reason: 'POST_NOT_FOUND',
      posts: ['no-such-post'],
    });
  });

  it.each(['Hello World', '../../etc/passwd', "' or 1=1 --", '%', 'nul\0byte', '😀'.repeat(100)])(
    'returns NOT_FOUND for %j, which no slug can be',
    async slug => {
      expect(await failureOf(bySlug(slug))).toMatchObject({ code: 'not_found', reason: 'POST_NOT_FOUND' });
    },
  );

  it('returns INVALID_ARGUMENT without a key', async () => {
    expect(await failureOf(service.client.getPost({}))).toMatchObject({
      code: 'invalid_argument',
      reason: 'VALIDATION_FAILED',
      fields: ['key'],
    });
  });

  it.each(['', 'x', '019a8f3c5b7e7c1a9d2e0f4b6a8c1d3e', '{019a8f3c-5b7e-7c1a-9d2e-0f4b6a8c1d3e}', "1' or '1'='1"])(
    'returns INVALID_ARGUMENT for the id %j, which is no UUID',
    async id => {
      expect(await failureOf(byId(id))).toMatchObject({ code: 'invalid_argument', fields: ['id'] });
    },
  );

  it.each(['', 'x'.repeat(201)])(
    'returns INVALID_ARGUMENT for a slug of no or more than 200 characters',
    async slug => {
      expect(await failureOf(bySlug(slug))).toMatchObject({ code: 'invalid_argument', fields: ['slug'] });
    },
  );

  it('has no side effects: it may be called with an HTTP GET', async () => {
    const { id } = await create();
    const query = new URLSearchParams({ connect: 'v1', encoding: 'json', message: JSON.stringify({ id }) });
    const response = await fetch(`${service.url}/blog.v1.PostService/GetPost?${query}`);
    expect(response.status).toBe(200);
    expect(await response.json()).toMatchObject({ post: { id } });
  });
});
