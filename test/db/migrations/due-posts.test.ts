import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createDatabase, type Database } from '#src/db/database.ts';
import { noteDuePosts } from '#src/db/migrations/due-posts.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { PostgresPostStore } from '#src/posts/store/postgres-post-store.ts';
import { aNewPost } from '#test/support/post-builder.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { query } from '#test/support/query.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';
import { startTestService } from '#test/support/test-service.ts';

let database: TestDatabase;
let db: Database;
let store: PostgresPostStore;

beforeAll(async () => {
  database = await createTestDatabase();
  db = createDatabase(new ConnectionPool(database.url, aDatabaseConfig()));
  store = new PostgresPostStore(db);
});
afterAll(async () => {
  await db?.destroy();
  await database?.[Symbol.asyncDispose]();
});
beforeEach(() => query(database.url, 'truncate posts, post_changes'));

/** A post that was scheduled long ago, and whose time came so many seconds ago. */
async function aDuePost(seconds: number): Promise<string> {
  const post = aNewPost({ publishTime: new Date(Date.now() - seconds * 1000), tags: ['one', 'two'] });
  await store.create([post], { validateOnly: false });
  const past = "'2026-01-01'";
  await query(database.url, `update posts set create_time = ${past}, update_time = ${past} where id = '${post.id}'`);
  return post.id;
}

async function shelvesOf(url: string, id: string): Promise<unknown[]> {
  const shelf = 'post_shelf(deleted, publish_order, create_time, update_time, due_time) as shelf';
  return query(
    url,
    `select ${shelf} from posts where id = '${id}' union all select ${shelf} from post_tags where post_id = '${id}'`,
  );
}

const WAITING = [{ shelf: 1 }, { shelf: 1 }, { shelf: 1 }];
const PUBLISHED = [{ shelf: 2 }, { shelf: 2 }, { shelf: 2 }];

describe('Scheduled posts that have come due', () => {
  it('stand among the published ones once it is noted, in lists by tag too', async () => {
    const id = await aDuePost(100);
    expect(await shelvesOf(database.url, id)).toEqual(WAITING);
    expect(await noteDuePosts(db, 10)).toBe(1);
    expect(await shelvesOf(database.url, id)).toEqual(PUBLISHED);
    expect(await noteDuePosts(db, 10)).toBe(0);
  });

  it('are not changed by that: they keep their etag, and no watcher hears of it', async () => {
    const id = await aDuePost(100);
    const before = await store.getById(id);
    await query(database.url, 'truncate post_changes');
    await noteDuePosts(db, 10);
    expect(await store.getById(id)).toEqual(before);
    expect(await query(database.url, 'select kind from post_changes')).toEqual([]);
  });

  it('wait a minute, so that a clock that is set back finds none too early', async () => {
    await aDuePost(30);
    expect(await noteDuePosts(db, 10)).toBe(0);
  });

  it('wait again where they get another publish time', async () => {
    const id = await aDuePost(100);
    await noteDuePosts(db, 10);
    await query(database.url, `update posts set publish_time = now() + interval '1 day' where id = '${id}'`);
    expect(await shelvesOf(database.url, id)).toEqual(WAITING);
  });

  it('are left for the next time where somebody is writing them', async () => {
    const [busy] = [await aDuePost(100), await aDuePost(100)];
    const writer = new pg.Client(database.url);
    await writer.connect();
    await writer.query(`begin; update posts set title = 'Busy' where id = '${busy}'`);
    expect(await noteDuePosts(db, 10)).toBe(1);
    await writer.query('commit');
    await writer.end();
    expect(await noteDuePosts(db, 10)).toBe(1);
  });
});

it('the service notes by itself which posts have come due', async () => {
  await using service = await startTestService({ PURGE_INTERVAL: '100ms' });
  const { post } = await service.client.createPost({ post: { title: 'Due', tags: ['one', 'two'] } });
  const past = "'2026-01-01'";
  await query(
    service.databaseUrl,
    `update posts set create_time = ${past}, update_time = ${past}, publish_time = '2026-01-02' where id = '${post?.id}'`,
  );
  await expect.poll(() => shelvesOf(service.databaseUrl, post?.id ?? ''), { timeout: 10_000 }).toEqual(PUBLISHED);
});
