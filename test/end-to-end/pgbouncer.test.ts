import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startPgBouncer, type TestPgBouncer } from '#test/support/pgbouncer.ts';
import { aPost } from '#test/support/post-builder.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let database: TestDatabase;
let bouncer: TestPgBouncer;
let services: TestService[];

beforeAll(async () => {
  database = await createTestDatabase();
  bouncer = await startPgBouncer(database.url);
  const settings = { DATABASE_URL: bouncer.url, DATABASE_PREPARED_STATEMENTS: 'false', CACHE_TTL: '1h' };
  services = [await startTestService(settings), await startTestService(settings)];
});
afterAll(async () => {
  for (const service of services ?? []) await service[Symbol.asyncDispose]();
  await bouncer?.[Symbol.asyncDispose]();
  await database?.[Symbol.asyncDispose]();
});

describe('behind PgBouncer in transaction mode', () => {
  const [one, other] = [() => services[0] as TestService, () => services[1] as TestService];

  it('posts are created, read, listed, updated and deleted', async () => {
    const { client } = one();
    const { post } = await client.createPost({ post: aPost({ author: 'Grace' }) });
    const id = post?.id ?? '';
    const key = { case: 'id', value: id } as const;
    expect((await client.getPost({ key })).post).toEqual(post);
    expect((await client.listPosts({ author: 'Grace' })).posts.map(found => found.id)).toEqual([id]);
    await client.updatePost({ post: { id, title: 'Another' } });
    expect((await client.getPost({ key })).post?.title).toBe('Another');
    await client.deletePost({ id });
    expect((await client.getPost({ key })).post?.deleteTime).toBeDefined();
  });

  it('many reads at once get their own answers', async () => {
    const { client } = one();
    const created = await Promise.all(
      Array.from({ length: 50 }, (_, n) => client.createPost({ post: aPost({ title: `Post ${n}` }) })),
    );
    const read = await Promise.all(
      created.map(({ post }) => other().client.getPost({ key: { case: 'id', value: post?.id ?? '' } })),
    );
    expect(read.map(({ post }) => post?.title)).toEqual(created.map(({ post }) => post?.title));
  });

  it('another instance hears of a write, though there is no LISTEN', async () => {
    const { post } = await one().client.createPost({ post: aPost() });
    const key = { case: 'id', value: post?.id ?? '' } as const;
    await other().client.getPost({ key });
    await one().client.updatePost({ post: { id: key.value, title: 'Heard of' } });
    await expect.poll(async () => (await other().client.getPost({ key })).post?.title).toBe('Heard of');
  });
});
