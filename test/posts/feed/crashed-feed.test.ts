import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDatabase, type Database } from '#src/db/database.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { createLogger } from '#src/observability/logger.ts';
import { ChangeFeed } from '#src/posts/feed/change-feed.ts';
import { PostWatches } from '#src/posts/feed/post-watches.ts';
import { PostgresPostStore } from '#src/posts/store/postgres-post-store.ts';
import { burnIds, NOTHING_FLUSHED } from '#test/support/burn-ids.ts';
import { FeedLedger, untilConnected } from '#test/support/feed-ledger.ts';
import { LogLines } from '#test/support/log-lines.ts';
import { aNewPost } from '#test/support/post-builder.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { query } from '#test/support/query.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';
import { WatchReader } from '#test/support/watch-reader.ts';

const WRITE = { validateOnly: false, etag: undefined };
const ALL = { author: undefined, tag: undefined };
const CRASHES = 3;
const BURNT = 300;

let postgres: PrivatePostgres;
let db: Database;
let store: PostgresPostStore;
let feed: ChangeFeed;
let ledger: FeedLedger;

beforeAll(async () => {
  postgres = await startPrivatePostgres({ settings: NOTHING_FLUSHED });
  db = createDatabase(new ConnectionPool(postgres.url, aDatabaseConfig()));
  store = new PostgresPostStore(db);
  feed = new ChangeFeed(postgres.url, await createLogger({ level: 'fatal', format: 'json' }, new LogLines()));
  await untilConnected(feed);
  ledger = new FeedLedger(feed);
});
afterAll(async () => {
  await feed?.[Symbol.asyncDispose]();
  await db?.destroy();
  await postgres?.[Symbol.asyncDispose]();
});

describe('A crash of Postgres that gives transaction ids out again', () => {
  it('costs no change, neither in an open watch nor after a resume, and ends no watch', async () => {
    const watches = new PostWatches(feed, db);
    const ending = new AbortController();
    const open = new WatchReader(watches.watch(undefined, ALL, ending.signal));
    await open.until(({ places }) => places.length === 1);
    const created: string[] = [];
    const create = async () => {
      const post = aNewPost();
      await store.create([post], WRITE);
      created.push(post.id);
    };
    for (let crash = 0; crash < CRASHES; crash++) {
      await create();
      // What the feed writes when it is back would flush what is burnt.
      await untilRead();
      const burnt = await burnIds(postgres.url, BURNT);
      await untilRead();
      await postgres.stopImmediately();
      await postgres.start();
      const [{ xid }] = (await query(postgres.url, 'select pg_current_xact_id()::text as xid')) as [{ xid: string }];
      expect(BigInt(xid)).toBeLessThan(burnt - BigInt(BURNT / 2));
      for (let n = 0; n < 5; n++) await create();
    }
    await open.until(({ changes }) => changes.length >= created.length);
    expect(open.changes.map(({ post }) => post.id)).toEqual(created);
    expect(ledger.gaps).toBe(0);
    for (const [index, { position }] of open.places.entries()) {
      const again = new AbortController();
      const resumed = new WatchReader(watches.watch(position, ALL, again.signal));
      const rest = open.places.slice(index + 1).flatMap(({ change }) => change?.post.id ?? []);
      await resumed.until(({ changes }) => changes.length >= rest.length);
      expect(resumed.changes.map(({ post }) => post.id)).toEqual(rest);
      again.abort(new Error('the test is over'));
    }
    ending.abort(new Error('the test is over'));
  });

  it('loses no change that others have seen, also where writers do not wait for their commits', async () => {
    const post = aNewPost();
    await query(
      postgres.url,
      `set synchronous_commit = off; insert into posts (id, slug, title, content, author, tags, create_time, update_time)
       values ('${post.id}', '${post.id}', 'A title', '', '', '{}', now(), now())`,
    );
    await postgres.stopImmediately();
    await postgres.start();
    expect(await query(postgres.url, `select slug from posts where id = '${post.id}'`)).toEqual([{ slug: post.id }]);
  });
});

/** Resolves when the feed has looked at all that has happened before this call. */
async function untilRead(): Promise<void> {
  const since = performance.now();
  while (feed.lagMs > performance.now() - since) await new Promise(resolve => setImmediate(resolve));
}
