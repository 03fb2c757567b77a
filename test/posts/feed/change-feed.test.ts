import pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createDatabase, type Database } from '#src/db/database.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import type { Snapshot } from '#src/db/snapshot.ts';
import { createLogger } from '#src/observability/logger.ts';
import { ChangeFeed } from '#src/posts/feed/change-feed.ts';
import { CHANGES_STATEMENT, changesParameters } from '#src/posts/feed/post-change-query.ts';
import { PostgresPostStore } from '#src/posts/store/postgres-post-store.ts';
import { changeByContendingWriters } from '#test/support/contending-writers.ts';
import { FeedLedger, untilConnected } from '#test/support/feed-ledger.ts';
import { LogLines } from '#test/support/log-lines.ts';
import { aNewPost } from '#test/support/post-builder.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { startTcpProxy } from '#test/support/tcp-proxy.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';

let database: TestDatabase;
let db: Database;
let store: PostgresPostStore;
let feed: ChangeFeed;
let ledger: FeedLedger;
const WRITE = { validateOnly: false, etag: undefined };

beforeAll(async () => {
  database = await createTestDatabase();
  db = createDatabase(new ConnectionPool(database.url, aDatabaseConfig()));
  store = new PostgresPostStore(db);
});
afterAll(async () => {
  await db?.destroy();
  await database?.[Symbol.asyncDispose]();
});
beforeEach(async () => {
  feed = await openFeed();
  ledger = new FeedLedger(feed);
});
afterEach(() => feed[Symbol.asyncDispose]());

describe('The change feed', () => {
  it('tells each kind of change once, in order', async () => {
    const post = aNewPost({ slug: 'one', tags: ['a'] });
    await store.create([post], WRITE);
    await store.update(post.id, { slug: 'two', tags: ['b'] }, WRITE);
    await store.delete(post.id, undefined);
    await store.undelete(post.id, undefined);
    await sqlOf(`delete from posts where id = '${post.id}'`);
    await ledger.until(({ changes }) => changes.at(-1)?.kind === 'purged');
    expect(ledger.kindsOf(post.id)).toEqual(['created', 'updated', 'deleted', 'undeleted', 'purged']);
    const [created, updated] = ledger.changes;
    expect(created).toMatchObject({ post: { slug: 'one', content: '', tags: ['a'] }, previous: undefined });
    expect(updated).toMatchObject({ post: { slug: 'two', tags: ['b'] }, previous: { slug: 'one', tags: ['a'] } });
    expect(updated?.post.etag).toMatch(/^2-/);
  });

  it('tells what was changed by hand', async () => {
    const posts = [aNewPost(), aNewPost()];
    await store.create(posts, WRITE);
    await sqlOf(`update posts set title = 'By hand' where id = any('{${posts.map(({ id }) => id)}}')`);
    await ledger.until(({ changes }) => changes.length === 4);
    expect(ledger.changes.slice(2).map(({ kind, post }) => [kind, post.title])).toEqual([
      ['updated', 'By hand'],
      ['updated', 'By hand'],
    ]);
  });

  it('tells nothing of what is rolled back, or only tried', async () => {
    const post = aNewPost();
    await store.create([post], { validateOnly: true });
    await sqlOf(`begin; insert into posts (id, slug, title, content, author, tags, create_time, update_time)
      values ('${post.id}', 'x', 'x', '', '', '{}', now(), now()); rollback`);
    const last = aNewPost();
    await store.create([last], WRITE);
    await ledger.until(({ changes }) => changes.some(change => change.post.id === last.id));
    expect(ledger.changes.map(change => change.post.id)).toEqual([last.id]);
  });

  it('tells a change when it is committed, however many were begun and committed meanwhile', async () => {
    const [early, late] = [aNewPost(), aNewPost()];
    const other = await openClient();
    await other.query('begin');
    // It has the lower transaction id, and the lower id in the feed.
    await other.query(insert(early.id));
    await store.create([late], WRITE);
    await ledger.until(({ changes }) => changes.length === 1);
    await other.query('commit');
    await other.end();
    await ledger.until(({ changes }) => changes.length === 2);
    expect(ledger.changes.map(change => change.post.id)).toEqual([late.id, early.id]);
  });

  it('reads nothing again that was committed beside a transaction that runs for long', async () => {
    const running = await openClient();
    await running.query('begin');
    await running.query(insert(aNewPost().id));
    await store.create(
      Array.from({ length: 100 }, () => aNewPost()),
      WRITE,
    );
    await ledger.until(({ changes }) => changes.length === 100);
    const statement = `explain (analyze, format json) ${CHANGES_STATEMENT}`;
    const parameters = changesParameters({ from: feed.snapshot as Snapshot });
    const client = await openClient();
    // As with a feed of some size: of a small one it is cheaper to look at all.
    await client.query('set enable_seqscan = off');
    const { rows } = await client.query(statement, parameters);
    const read = JSON.stringify(rows[0]).matchAll(/"Actual Rows":([\d.]+)/g);
    expect(Math.max(...[...read].map(([, count]) => Number(count)))).toBeLessThan(10);
    await running.query('rollback');
    await Promise.all([running.end(), client.end()]);
  });

  it("tells one post's changes in their order, where the later writer's transaction is the older one", async () => {
    const [post, another] = [aNewPost(), aNewPost()];
    await store.create([post], WRITE);
    const [older, running] = [await openClient(), await openClient()];
    await older.query('begin');
    await older.query(insert(another.id));
    await running.query('begin');
    await running.query(insert(aNewPost().id));
    await store.update(post.id, { title: 'First' }, WRITE);
    await older.query(`update posts set title = 'Second' where id = '${post.id}'`);
    await older.query('commit');
    const titles = () => ledger.changes.filter(({ post: { id } }) => id === post.id).map(change => change.post.title);
    await ledger.until(() => titles().length === 3);
    expect(titles()).toEqual(['A title', 'First', 'Second']);
    await running.query('rollback');
    await Promise.all([older.end(), running.end()]);
  });

  it('tells all of a change of more posts than it reads at once', async () => {
    await sqlOf(`insert into posts (id, slug, title, content, author, tags, create_time, update_time)
      select gen_random_uuid(), 'many-' || n, 'Many', '', 'many', '{}', now(), now() from generate_series(1, 2500) n`);
    await ledger.until(({ changes }) => changes.length >= 2500);
    const slugs = ledger.changes.map(change => change.post.slug);
    expect(new Set(slugs).size).toBe(2500);
    expect(ledger.changes).toHaveLength(2500);
  });

  it('leaves a mark where it has read many, which says that the changes of later transactions have higher ids', async () => {
    for (let n = 0; n < 6; n++)
      await sqlOf(`insert into post_changes (kind, post_id, slug, title, author, tags, create_time, update_time, revision)
        select 'created', gen_random_uuid(), '', '', '', '{}', now(), now(), 1 from generate_series(1, 1000)`);
    await ledger.until(({ changes }) => changes.length === 6000);
    const client = await openClient();
    const marks = async () => (await client.query('select xid::text, id from post_changes_marks')).rows;
    while ((await marks()).length === 0);
    for (const { xid, id } of await marks()) {
      const { rows } = await client.query('select count(*) from post_changes where xid > $1::text::xid8 and id <= $2', [
        xid,
        id,
      ]);
      expect(rows).toEqual([{ count: '0' }]);
    }
    await client.query('begin; select pg_current_xact_id(); delete from post_changes_marks');
    expect((await client.query('select post_changes_mark(0)')).rows).toEqual([{ post_changes_mark: false }]);
    await client.query('rollback; truncate post_changes');
    expect(await marks()).toEqual([]);
    await client.query('update post_changes_removed set truncate_xid = null');
    await client.end();
  });

  it('loses nothing where its connection is killed, or cut for a while', async () => {
    await using proxy = await startTcpProxy({ host: '127.0.0.1', port: Number(new URL(database.url).port) });
    await using cutFeed = await openFeed(proxy.through(database.url));
    const told = new FeedLedger(cutFeed);
    const ids: string[] = [];
    for (const disturb of [
      () => sqlOf("select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'postservice feed'"),
      async () => proxy.reset(),
      async () => proxy.set({ blackHole: true }),
    ]) {
      await disturb();
      const post = aNewPost();
      ids.push(post.id);
      await store.create([post], WRITE);
    }
    proxy.heal();
    await told.until(({ changes }) => changes.length === ids.length);
    expect(told.changes.map(change => change.post.id)).toEqual(ids);
    expect(told.gaps).toBe(0);
  });

  it('says so where changes were removed before it could read them', async () => {
    await using proxy = await startTcpProxy({ host: '127.0.0.1', port: Number(new URL(database.url).port) });
    await using cutFeed = await openFeed(proxy.through(database.url));
    const told = new FeedLedger(cutFeed);
    proxy.set({ blackHole: true });
    await store.create([aNewPost()], WRITE);
    await sqlOf('update post_changes_removed set xid = (select max(xid) from post_changes); delete from post_changes');
    proxy.heal();
    await told.until(({ gaps }) => gaps === 1);
    expect(told.changes).toEqual([]);
    await sqlOf("update post_changes_removed set xid = '0'");
  });
});

describe('Eight writers at once', () => {
  it("have every change told once, and each post's in order", async () => {
    const posts = Array.from({ length: 5 }, () => aNewPost());
    const ids = posts.map(({ id }) => id);
    await store.create(posts, WRITE);
    const acknowledged = await changeByContendingWriters(database.url, ids);
    const expected = posts.length + [...acknowledged.values()].reduce((sum, count) => sum + count, 0);
    await ledger.until(({ changes }) => changes.length >= expected);
    expect(ledger.changes).toHaveLength(expected);
    for (const { id } of posts) {
      const revisions = ledger.changes
        .filter(({ post }) => post.id === id)
        .map(({ post }) => Number(post.etag.split('-')[0]));
      expect(revisions).toEqual(Array.from({ length: revisions.length }, (_, i) => i + 1));
    }
  });
});

async function openFeed(url = database.url): Promise<ChangeFeed> {
  const opened = new ChangeFeed(url, await createLogger({ level: 'fatal', format: 'json' }, new LogLines()));
  await untilConnected(opened);
  return opened;
}

async function openClient(): Promise<pg.Client> {
  const client = new pg.Client(database.url);
  await client.connect();
  return client;
}

async function sqlOf(text: string): Promise<void> {
  const client = await openClient();
  await client.query(text);
  await client.end();
}

function insert(id: string): string {
  return `insert into posts (id, slug, title, content, author, tags, create_time, update_time)
    values ('${id}', 'post-${id}', 'A title', '', '', '{}', now(), now())`;
}
