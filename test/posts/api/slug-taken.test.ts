import { type Client, createClient } from '@connectrpc/connect';
import pg from 'pg';
import { v4 as uuidv4, v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { untilSomebodyWaits } from '#test/support/lock-posts.ts';
import { aPost } from '#test/support/post-builder.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';
import { TRANSPORTS } from '#test/support/transports.ts';

let database: TestDatabase;
/** Two instances, which know of each other only through the database. */
let services: TestService[];
let client: Client<typeof PostService>;

beforeAll(async () => {
  database = await createTestDatabase();
  const settings = { DATABASE_URL: database.url, DATABASE_LOCK_TIMEOUT: '1h', DATABASE_STATEMENT_TIMEOUT: '1h' };
  services = [await startTestService(settings), await startTestService(settings)];
  client = (services[0] as TestService).client;
});
afterAll(async () => {
  for (const service of services ?? []) await service[Symbol.asyncDispose]();
  await database?.[Symbol.asyncDispose]();
});

/** A title, and the slug that is derived from it, which no post has. */
function aTitle(): { readonly title: string; readonly slug: string } {
  const name = uuidv7();
  return { title: `Урок ${name}`, slug: `urok-${name}` };
}
async function create(post: Parameters<typeof aPost>[0], options: object = {}) {
  const { post: created } = await client.createPost({ post, ...options });
  if (created === undefined) throw new Error('no post in the answer');
  return created;
}
const getBySlug = async (slug: string) => (await client.getPost({ key: { case: 'slug', value: slug } })).post;

describe('A derived slug that is taken', () => {
  it('refuses none of 100 callers at once, of which one gets it', async () => {
    const { title, slug } = aTitle();
    const clients = services.map(({ url }) => createClient(PostService, TRANSPORTS['gRPC over HTTP/2'](url, {})));
    const calls = clients.flatMap(each => Array.from({ length: 50 }, () => each.createPost({ post: { title } })));
    const slugs = (await Promise.all(calls)).map(answer => answer.post?.slug);
    expect(new Set(slugs).size).toBe(100);
    expect(slugs.filter(one => one === slug)).toHaveLength(1);
    for (const one of slugs) expect(one?.startsWith(slug)).toBe(true);
  });

  it('refuses none of a batch, nor of batches at once', async () => {
    const titles = Array.from({ length: 25 }, aTitle);
    const requests = [...titles, ...titles].map(({ title }) => ({ post: { title } }));
    const batches = await Promise.all(services.map(service => service.client.batchCreatePosts({ requests })));
    const slugs = batches.flatMap(({ posts }) => posts.map(post => post.slug));
    expect(new Set(slugs).size).toBe(100);
    for (const { slug } of titles) expect(slugs).toContain(slug);
  });

  it('leaves an explicit one of the same batch to the post that names it', async () => {
    const { title, slug } = aTitle();
    const { posts } = await client.batchCreatePosts({ requests: [{ post: { title } }, { post: { title, slug } }] });
    expect(posts.map(post => post.slug)).toEqual([`${slug}-${posts[0]?.id.slice(-6)}`, slug]);
  });

  it('does not save a batch with an explicit one that is taken', async () => {
    const { title, slug } = aTitle();
    await create({ title });
    const call = client.batchCreatePosts({ requests: [{ post: { title } }, { post: { title, slug } }] });
    expect(await failureOf(call)).toMatchObject({ reason: 'SLUG_TAKEN', metadata: { slug } });
  });

  it('refuses no post where a deleted one with that slug comes back meanwhile', async () => {
    const { title, slug } = aTitle();
    const { id } = await create({ title });
    await client.deletePost({ id });
    const undeleting = new pg.Client(database.url);
    await undeleting.connect();
    await undeleting.query('begin');
    await undeleting.query('update posts set delete_time = null, purge_time = null where id = $1', [id]);
    const creating = create({ title });
    await untilSomebodyWaits(database.url);
    await undeleting.query('commit');
    await undeleting.end();
    const created = await creating;
    expect(created.slug).toBe(`${slug}-${created.id.slice(-6)}`);
  });

  it('is the same again for a repeated request_id, from 20 callers at once and later', async () => {
    const { title, slug } = aTitle();
    await create({ title });
    const requestId = uuidv4();
    const calls = services.flatMap(each =>
      Array.from({ length: 10 }, () => each.client.createPost({ post: { title }, requestId })),
    );
    const posts = (await Promise.all(calls)).map(answer => answer.post);
    expect(new Set(posts.map(post => post?.id)).size).toBe(1);
    expect(posts[0]?.slug).toBe(`${slug}-${posts[0]?.id.slice(-6)}`);
    for (const post of posts) expect(post).toEqual(posts[0]);
    await client.deletePost({ id: (await getBySlug(slug))?.id ?? '' });
    expect(await create({ title }, { requestId })).toEqual(posts[0]);
  });

  it('is found by validate_only too, which takes none', async () => {
    const { title, slug } = aTitle();
    const tried = await create({ title }, { validateOnly: true });
    expect(tried.slug).toBe(slug);
    expect((await create({ title })).slug).toBe(slug);
    const again = await create({ title }, { validateOnly: true });
    expect(again.slug).toBe(`${slug}-${again.id.slice(-6)}`);
  });

  it('has at most 200 characters with its suffix', async () => {
    const title = `${uuidv7()} ${'слово '.repeat(36)}`;
    const [first, second] = [await create({ title }), await create({ title })];
    expect(second.slug).toMatch(new RegExp(`^[a-z0-9-]{1,193}-${second.id.slice(-6)}$`));
    expect(first.slug.startsWith(second.slug.slice(0, 180))).toBe(true);
  });

  it('takes more of the id where the short suffix is taken too', async () => {
    const { title, slug } = aTitle();
    await create({ title });
    const { id } = await create({ title: 'Another' });
    await create(aPost({ slug: `${slug}-${id.slice(-6)}` }));
    const { post } = await client.updatePost({ post: { id, title }, updateMask: { paths: ['slug', 'title'] } });
    expect(post?.slug).toBe(`${slug}-${id.slice(-12)}`);
  });
});

describe('An update that clears the slug', () => {
  const clear = async (id: string, title: string, options: object = {}) =>
    (await client.updatePost({ post: { id, title }, updateMask: { paths: ['slug', 'title'] }, ...options })).post;

  it('gives a suffix where another post has the derived one, and the same again', async () => {
    const { title, slug } = aTitle();
    await create({ title });
    const { id } = await create(aPost());
    const suffixed = `${slug}-${id.slice(-6)}`;
    expect(await clear(id, title)).toMatchObject({ slug: suffixed, title });
    expect(await clear(id, title)).toMatchObject({ slug: suffixed });
  });

  it('leaves the derived one to the post that has it', async () => {
    const { title, slug } = aTitle();
    const { id } = await create({ title });
    expect(await clear(id, title)).toMatchObject({ slug });
  });

  it('gives the derived one where the post that had it is deleted', async () => {
    const { title, slug } = aTitle();
    await client.deletePost({ id: (await create({ title })).id });
    expect(await clear((await create(aPost())).id, title)).toMatchObject({ slug });
  });

  it('refuses none of 20 callers at once', async () => {
    const { title, slug } = aTitle();
    const posts = await Promise.all(Array.from({ length: 20 }, () => create(aPost())));
    const slugs = (await Promise.all(posts.map(({ id }) => clear(id, title)))).map(post => post?.slug);
    expect(new Set(slugs).size).toBe(20);
    expect(slugs).toContain(slug);
  });

  it('takes another one where somebody has given the id of the post to another as its slug', async () => {
    const { id } = await create(aPost());
    await create(aPost({ slug: id }));
    const post = await clear(id, '☃');
    expect(post?.slug).toMatch(/^[0-9a-f-]{36}$/);
    expect(post?.slug).not.toBe(id);
  });

  it('says with validate_only what it would give', async () => {
    const { title, slug } = aTitle();
    await create({ title });
    const { id } = await create(aPost());
    const tried = await clear(id, title, { validateOnly: true });
    expect(tried?.slug).toBe(`${slug}-${id.slice(-6)}`);
  });
});
