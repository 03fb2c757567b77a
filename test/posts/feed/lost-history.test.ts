import pg from 'pg';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createDatabase, type Database } from '#src/db/database.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import type { Snapshot } from '#src/db/snapshot.ts';
import { createLogger, type Logger } from '#src/observability/logger.ts';
import { ChangeFeed } from '#src/posts/feed/change-feed.ts';
import { type PostChangePosition, PostChangesExpiredError } from '#src/posts/feed/post-change-position.ts';
import { PostWatches } from '#src/posts/feed/post-watches.ts';
import { PostgresPostStore } from '#src/posts/store/postgres-post-store.ts';
import { burnIds } from '#test/support/burn-ids.ts';
import { FeedLedger, untilConnected } from '#test/support/feed-ledger.ts';
import { LogLines } from '#test/support/log-lines.ts';
import { aNewPost } from '#test/support/post-builder.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { startReplica, type TestReplica } from '#test/support/replica.ts';
import { startTcpProxy, type TcpProxy } from '#test/support/tcp-proxy.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';
import { WatchReader } from '#test/support/watch-reader.ts';

const WRITE = { validateOnly: false, etag: undefined };
const ALL = { author: undefined, tag: undefined };

let parts: AsyncDisposableStack;
let primary: PrivatePostgres;
let standby: TestReplica;
let address: { host: string; port: number };
let proxy: TcpProxy;
let db: Database;
let store: PostgresPostStore;
let feed: ChangeFeed;
let ledger: FeedLedger;
let watches: PostWatches;
let log: Logger;

beforeEach(async () => {
  parts = new AsyncDisposableStack();
  primary = parts.use(await startPrivatePostgres());
  standby = parts.use(await startReplica(primary.url));
  address = { host: '127.0.0.1', port: Number(new URL(primary.url).port) };
  proxy = parts.use(await startTcpProxy(address));
  db = createDatabase(new ConnectionPool(proxy.through(primary.url), aDatabaseConfig()));
  parts.defer(() => db.destroy());
  store = new PostgresPostStore(db);
  log = await createLogger({ level: 'fatal', format: 'json' }, new LogLines());
  feed = parts.use(new ChangeFeed(proxy.through(primary.url), log));
  await untilConnected(feed);
  ledger = new FeedLedger(feed);
  watches = new PostWatches(feed, db);
});
afterEach(() => parts[Symbol.asyncDispose]());

describe('A standby that is promoted behind the same address', () => {
  it('goes on with every watch and every token where it has all writes', async () => {
    await using open = watch();
    await open.reader.until(({ places }) => places.length === 1);
    const before = await create();
    await open.reader.until(({ changes }) => changes.length === 1);
    const place = open.reader.places.at(-1)?.position;
    await standby.catchUp();
    await primary.stopImmediately();
    await failOver();
    const after = await create();
    await open.reader.until(({ changes }) => changes.length === 2);
    expect(idsOf(open.reader)).toEqual([before, after]);
    await using again = watch(place);
    await again.reader.until(({ changes }) => changes.length === 1);
    expect(idsOf(again.reader)).toEqual([after]);
    expect(ledger.gaps).toBe(0);
  });

  it('ends the watches and tokens that have seen what it lacks, for ever, and gives older tokens the exact rest', async () => {
    const first = await create();
    await ledger.until(({ changes }) => changes.length === 1);
    await using open = watch();
    await open.reader.until(({ places }) => places.length === 1);
    const kept = open.reader.places.at(-1)?.position;
    await standby.catchUp();
    await standby.kill();
    const lost: string[] = [];
    for (let n = 0; n < 30; n++) lost.push(await create());
    await open.reader.until(({ changes }) => changes.length === lost.length);
    const places = open.reader.places.slice(1).map(({ position }) => position);
    await primary.stopImmediately();
    await standby.start();
    await failOver();
    await ledger.until(({ gaps }) => gaps === 1);
    await expect(open.reader.until(() => false)).rejects.toThrow(PostChangesExpiredError);
    const after: string[] = [];
    for (let n = 0; n < 5; n++) after.push(await create());
    // The ids of what was lost are given to others by now, those of most places too.
    await burnIds(proxy.through(primary.url), 100);
    for (let n = 0; n < 5; n++) after.push(await create());
    await ledger.until(({ changes }) => changes.length === 1 + lost.length + after.length);
    expect(ledger.changes.map(({ post }) => post.id)).toEqual([first, ...lost, ...after]);
    for (const place of places) {
      await using ended = watch(place);
      await expect(ended.reader.until(() => false)).rejects.toThrow(PostChangesExpiredError);
    }
    await using rest = watch(kept);
    await rest.reader.until(({ changes }) => changes.length === after.length);
    expect(idsOf(rest.reader)).toEqual(after);
  });

  it('ends those that have seen a change that it lacks, although it has one of a later transaction', async () => {
    const other = new pg.Client(primary.url);
    await other.connect();
    const late = aNewPost();
    await other.query(`begin; insert into posts (id, slug, title, content, author, tags, create_time, update_time)
      values ('${late.id}', '${late.id}', 'Late', '', '', '{}', now(), now())`);
    await using open = watch();
    await open.reader.until(({ places }) => places.length === 1);
    const early = await create();
    // Changes that are read together come in the order of their transactions.
    await open.reader.until(({ changes }) => changes.length === 1);
    await standby.catchUp();
    await standby.kill();
    await other.query('commit');
    await other.end();
    await open.reader.until(({ changes }) => changes.length === 2);
    expect(idsOf(open.reader)).toEqual([early, late.id]);
    await primary.stopImmediately();
    await standby.start();
    await failOver();
    await expect(open.reader.until(() => false)).rejects.toThrow(PostChangesExpiredError);
  });

  it('ends a watch that has read from the database what it lacks, before the feed came to that', async () => {
    const line = parts.use(await startTcpProxy(address));
    const slow = parts.use(new ChangeFeed(line.through(primary.url), log));
    await untilConnected(slow);
    const told = new FeedLedger(slow);
    const seen = await create();
    await told.until(({ changes }) => changes.some(({ post }) => post.id === seen));
    const place = { from: slow.snapshot as Snapshot };
    await standby.catchUp();
    await standby.kill();
    line.set({ blackHole: true });
    const lost = await create();
    await using open = watch(place, new PostWatches(slow, db));
    await open.reader.until(({ changes }) => changes.some(({ post }) => post.id === lost));
    await primary.stopImmediately();
    await standby.start();
    await failOver();
    // Their ids are those of what was lost, and then come changes that the watch would take for new ones.
    await create();
    await burnIds(proxy.through(primary.url), 100);
    line.reset();
    line.heal();
    await create();
    await expect(open.reader.until(() => false)).rejects.toThrow(PostChangesExpiredError);
  });
});

async function create(): Promise<string> {
  const post = aNewPost();
  await store.create([post], WRITE);
  return post.id;
}

/** The standby takes the place of a primary that has crashed. */
async function failOver(): Promise<void> {
  await standby.promote();
  address.port = Number(new URL(standby.url).port);
  proxy.reset();
}

interface OpenWatch extends AsyncDisposable {
  readonly reader: WatchReader;
}

function watch(start?: PostChangePosition, of = watches): OpenWatch {
  const ending = new AbortController();
  const reader = new WatchReader(of.watch(start, ALL, ending.signal));
  const end = async () => {
    ending.abort(new Error('the test is over'));
    await reader.until(({ end }) => end !== undefined);
  };
  return { reader, [Symbol.asyncDispose]: () => end().catch(() => {}) };
}

function idsOf(reader: WatchReader): string[] {
  return reader.changes.map(({ post }) => post.id);
}
