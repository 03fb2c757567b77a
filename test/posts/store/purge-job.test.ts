import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createDatabase, type Database, runText } from '#src/db/database.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import type { RunStatement } from '#src/posts/feed/feed-head.ts';
import { PostChangesExpiredError } from '#src/posts/feed/post-change-position.ts';
import { readPosition, readPostChanges } from '#src/posts/feed/post-change-query.ts';
import { PostgresPostStore } from '#src/posts/store/postgres-post-store.ts';
import { purge } from '#src/posts/store/purge-job.ts';
import { aNewPost } from '#test/support/post-builder.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { query } from '#test/support/query.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';
import { startTestService } from '#test/support/test-service.ts';

const HOUR_MS = 3_600_000;
const WEEK = { changeRetentionMs: 7 * 24 * HOUR_MS };
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
beforeEach(() => query(database.url, 'truncate posts, post_changes, create_requests'));

const run: RunStatement = (text, values) => runText(db, text, values);

describe('A purge', () => {
  it('removes soft-deleted posts whose purge_time has come, and no others', async () => {
    const [due, deleted, live] = [aNewPost(), aNewPost(), aNewPost()];
    await store.create([due, deleted, live], { validateOnly: false });
    await store.delete(due.id, undefined);
    await store.delete(deleted.id, undefined);
    await query(database.url, `update posts set purge_time = now() where id = '${due.id}'`);
    expect(await purge(db, WEEK)).toMatchObject({ posts: 1 });
    const left = await store.getMany([due.id, deleted.id, live.id], 1000);
    expect(left.map(({ id }) => id).toSorted()).toEqual([deleted.id, live.id]);
    expect(await query(database.url, 'select kind, post_id from post_changes order by id desc limit 1')).toEqual([
      { kind: 'purged', post_id: due.id },
    ]);
  });

  it('removes request ids that are older than a day', async () => {
    const request = () => ({ id: randomUUID(), digest: Buffer.alloc(32) });
    const [old, young] = [aNewPost({ request: request() }), aNewPost({ request: request() })];
    await store.create([old, young], { validateOnly: false });
    const age = "update create_requests set create_time = now() - interval '25 hours' where request_id =";
    await query(database.url, `${age} '${old.request?.id}'`);
    expect(await purge(db, WEEK)).toMatchObject({ create_requests: 1 });
    expect(await query(database.url, 'select request_id from create_requests')).toEqual([
      { request_id: young.request?.id },
    ]);
  });

  it('removes changes that are older than they are kept, and those who had not read them are told', async () => {
    const before = await readPosition(run);
    await store.create([aNewPost()], { validateOnly: false });
    const [{ xid }] = (await query(
      database.url,
      "update post_changes set at = now() - interval '8 days' returning xid::text",
    )) as [{ xid: string }];
    // Transactions of other tests, in other databases, count too.
    let between = await readPosition(run);
    while (!between.from.hasEnded(BigInt(xid))) between = await readPosition(run);
    await store.create([aNewPost()], { validateOnly: false });
    expect(await purge(db, WEEK)).toMatchObject({ post_changes: 1 });
    await expect(readPostChanges(run, before)).rejects.toThrow(PostChangesExpiredError);
    expect((await readPostChanges(run, between)).changes).toHaveLength(1);
  });

  it('leaves changes beside a transaction that still runs, so that those who wait for it can go on', async () => {
    const running = new pg.Client(database.url);
    await running.connect();
    await running.query('begin');
    await running.query('select pg_current_xact_id()');
    await store.create([aNewPost()], { validateOnly: false });
    await query(database.url, "update post_changes set at = now() - interval '8 days'");
    const place = await readPosition(run);
    expect(await purge(db, WEEK)).toMatchObject({ post_changes: 0 });
    expect((await readPostChanges(run, place)).changes).toEqual([]);
    await running.query('rollback');
    await running.end();
  });

  it('takes as many batches as there are', async () => {
    await store.create(
      Array.from({ length: 25 }, () => aNewPost()),
      { validateOnly: false },
    );
    await query(database.url, 'update posts set delete_time = now(), purge_time = now()');
    expect(await purge(db, { ...WEEK, batchRows: 10 })).toMatchObject({ posts: 25 });
    expect(await query(database.url, 'select id from posts')).toEqual([]);
  });

  it('leaves the work to the one that is at it', async () => {
    const post = aNewPost();
    await store.create([post], { validateOnly: false });
    await query(database.url, 'update posts set delete_time = now(), purge_time = now()');
    const other = new pg.Client(database.url);
    await other.connect();
    await other.query(`select pg_advisory_lock(${0x70_6f_73_74})`);
    expect(await purge(db, WEEK)).toEqual({ posts: 0, create_requests: 0, post_changes: 0 });
    await other.end();
    expect(await purge(db, WEEK)).toMatchObject({ posts: 1 });
  });
});

describe('The service', () => {
  it('purges by itself', async () => {
    await using service = await startTestService({ PURGE_INTERVAL: '100ms' });
    const { post } = await service.client.createPost({ post: { title: 'To go' } });
    await service.client.deletePost({ id: post?.id ?? '' });
    await query(service.databaseUrl, 'update posts set purge_time = now()');
    expect(await service.log.line({ msg: 'purged expired rows' })).toMatchObject({ rows: { posts: 1 } });
  });
});

describe('A truncation by hand', () => {
  it('tells readers of changes that they have missed some, and empties the lists', async () => {
    await store.create([aNewPost({ tags: ['truncated'] })], { validateOnly: false });
    const before = await readPosition(run);
    await query(database.url, 'truncate posts');
    await expect(readPostChanges(run, before)).rejects.toThrow(PostChangesExpiredError);
    expect(await query(database.url, "select * from post_tags where tag = 'truncated'")).toEqual([]);
  });

  it.each(['posts, post_tags', 'post_tags, posts', 'post_changes'])('of %s does so too', async tables => {
    await store.create([aNewPost({ tags: ['truncated'] })], { validateOnly: false });
    const before = await readPosition(run);
    await query(database.url, `truncate ${tables}`);
    await expect(readPostChanges(run, before)).rejects.toThrow(PostChangesExpiredError);
    expect((await readPostChanges(run, await readPosition(run))).changes).toEqual([]);
  });
});
