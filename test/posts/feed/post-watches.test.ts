import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDatabase, type Database } from '#src/db/database.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { Snapshot } from '#src/db/snapshot.ts';
import { createLogger } from '#src/observability/logger.ts';
import { ChangeFeed } from '#src/posts/feed/change-feed.ts';
import type { PostChange } from '#src/posts/feed/post-change.ts';
import { type PostChangePosition, PostChangesExpiredError } from '#src/posts/feed/post-change-position.ts';
import {
  PostWatches,
  type WatchedPlace,
  WatcherTooSlowError,
  type WatchFilter,
  type WatchOptions,
} from '#src/posts/feed/post-watches.ts';
import { PostgresPostStore } from '#src/posts/store/postgres-post-store.ts';
import { changeByContendingWriters } from '#test/support/contending-writers.ts';
import { FeedLedger, untilConnected } from '#test/support/feed-ledger.ts';
import { LogLines } from '#test/support/log-lines.ts';
import { aNewPost } from '#test/support/post-builder.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';
import { WatchReader } from '#test/support/watch-reader.ts';

let database: TestDatabase;
let db: Database;
let store: PostgresPostStore;
let feed: ChangeFeed;
let ledger: FeedLedger;
const WRITE = { validateOnly: false, etag: undefined };
const ALL: WatchFilter = { author: undefined, tag: undefined };

beforeAll(async () => {
  database = await createTestDatabase();
  db = createDatabase(new ConnectionPool(database.url, aDatabaseConfig()));
  store = new PostgresPostStore(db);
  feed = new ChangeFeed(database.url, await createLogger({ level: 'fatal', format: 'json' }, new LogLines()));
  await untilConnected(feed);
  ledger = new FeedLedger(feed);
});
afterAll(async () => {
  await feed?.[Symbol.asyncDispose]();
  await db?.destroy();
  await database?.[Symbol.asyncDispose]();
});

describe('A watch', () => {
  it('tells its place at once, and every change from then on', async () => {
    await store.create([aNewPost()], WRITE);
    await using watch = openWatch();
    await watch.reader.until(({ places }) => places.length === 1);
    expect(watch.reader.changes).toEqual([]);
    const post = aNewPost();
    await store.create([post], WRITE);
    await store.delete(post.id, undefined);
    await watch.reader.until(({ changes }) => changes.length === 2);
    expect(kinds(watch.reader.changes)).toEqual([`created ${post.id}`, `deleted ${post.id}`]);
  });

  it('goes on from any place, also one in the middle of a transaction, with exactly what came after', async () => {
    await using first = openWatch();
    await first.reader.until(({ places }) => places.length === 1);
    for (let n = 0; n < 3; n++) await store.create([aNewPost(), aNewPost(), aNewPost()], WRITE);
    await first.reader.until(({ changes }) => changes.length === 9);
    const places = [...first.reader.places];
    for (const [index, { position }] of places.entries()) {
      await using again = openWatch({ start: position });
      const rest = kinds(places.slice(index + 1).flatMap(({ change }) => change ?? []));
      await again.reader.until(({ changes }) => changes.length >= rest.length);
      expect(kinds(again.reader.changes)).toEqual(rest);
    }
  });

  it.each([
    { filter: { author: 'Grace' }, told: ['Grace', 'to Grace', 'from Grace', 'last'] },
    { filter: { tag: 'news' }, told: ['tagged', 'from Grace', 'untagged', 'last'] },
    { filter: { author: 'Grace', tag: 'news' }, told: ['last'] },
  ])('with the filter $filter tells of posts that it lets through, or let through before', async ({ filter, told }) => {
    await using watch = openWatch({ filter });
    await watch.reader.until(({ places }) => places.length === 1);
    const [grace, ada, tagged] = [
      aNewPost({ author: 'Grace', title: 'Grace', tags: [] }),
      aNewPost({ author: 'Ada', title: 'Ada', tags: [] }),
      aNewPost({ author: 'Ada', title: 'tagged', tags: ['news'] }),
    ];
    for (const post of [grace, ada, tagged]) await store.create([post], WRITE);
    await store.update(ada.id, { author: 'Grace', title: 'to Grace' }, WRITE);
    await store.update(grace.id, { author: 'Ada', title: 'from Grace', tags: ['news'] }, WRITE);
    await store.update(tagged.id, { title: 'untagged', tags: [] }, WRITE);
    await store.create([aNewPost({ author: 'Grace', title: 'last', tags: ['news'] })], WRITE);
    await watch.reader.until(({ changes }) => changes.at(-1)?.post.title === 'last');
    expect(watch.reader.changes.map(({ post }) => post.title)).toEqual(told);
  });

  it('tells from time to time that it is alive, with a place that moves on', async () => {
    await using watch = openWatch({ filter: { author: 'Nobody', tag: undefined }, heartbeatMs: 1 });
    await watch.reader.until(({ places }) => places.length === 1);
    const before = watch.reader.places[0]?.position.from;
    await store.create([aNewPost()], WRITE);
    await watch.reader.until(({ places }) => before?.covers(places.at(-1)?.position.from ?? before) === false);
    expect(watch.reader.changes).toEqual([]);
  });

  it('ends after a last place when it is stopped', async () => {
    await using watch = openWatch();
    await watch.reader.until(({ places }) => places.length === 1);
    watch.watches.stop();
    await watch.reader.until(({ end }) => end === null);
    expect(watch.reader.places).toHaveLength(2);
  });

  it('ends with the reason of its signal', async () => {
    await using watch = openWatch();
    await watch.reader.until(({ places }) => places.length === 1);
    watch.ending.abort(new Error('gone'));
    await expect(watch.reader.until(() => false)).rejects.toThrow('gone');
  });

  it('says so where its place is older than the changes that are kept', async () => {
    const position = { from: new Snapshot('3:3:') };
    await sqlOf('update post_changes_removed set xid = pg_snapshot_xmin(pg_current_snapshot())');
    await using watch = openWatch({ start: position });
    await expect(watch.reader.until(() => false)).rejects.toThrow(PostChangesExpiredError);
    await sqlOf("update post_changes_removed set xid = '0'");
  });

  it('says so where its place is of another database', async () => {
    await using watch = openWatch({ start: { from: new Snapshot('99999999:99999999:') } });
    await expect(watch.reader.until(() => false)).rejects.toThrow(PostChangesExpiredError);
  });
});

describe('A watch whose reader is slow', () => {
  it('misses nothing where more waits for it than the buffer holds', async () => {
    const { next, end } = await openByHand({ bufferChanges: 10 });
    const posts = Array.from({ length: 30 }, () => aNewPost());
    for (const post of posts) await store.create([post], WRITE);
    await ledger.until(({ changes }) => changes.at(-1)?.post.id === posts.at(-1)?.id);
    const told: string[] = [];
    while (told.length < posts.length) told.push(...[(await next()).change?.post.id ?? []].flat());
    expect(told).toEqual(posts.map(({ id }) => id));
    await end();
  });

  it('is told to resume where it took nothing for long, and goes on with what it had not read', async () => {
    let now = 0;
    const { next, end } = await openByHand({ bufferChanges: 10, stalledMs: 1000, now: () => now });
    const posts = Array.from({ length: 30 }, () => aNewPost());
    await store.create(posts.slice(0, 5), WRITE);
    const first = await next();
    now += 1001;
    for (const post of posts.slice(5)) await store.create([post], WRITE);
    await ledger.until(({ changes }) => changes.at(-1)?.post.id === posts.at(-1)?.id);
    await expect(next()).rejects.toThrow(WatcherTooSlowError);
    await using again = openWatch({ start: first.position });
    await again.reader.until(({ changes }) => changes.length === 29);
    expect(again.reader.changes.map(({ post }) => post.id)).toEqual(posts.slice(1).map(({ id }) => id));
    await end();
  });
});

describe('Watches with reconnects, while eight writers commit out of order', () => {
  it("tell every acknowledged change once, and each post's in order", async () => {
    const ids = Array.from({ length: 5 }, () => aNewPost());
    const read: PostChange[][] = [[], [], []];
    const start = (await openByHand({})).first.position;
    await store.create(ids, WRITE);
    let expected = Number.POSITIVE_INFINITY;
    const readers = read.map(async (changes, n) => {
      let position = start;
      while (changes.length < expected) {
        await using watch = openWatch({ start: position, bufferChanges: 3 + n, heartbeatMs: 20 });
        // Some reconnect after a few changes, in whatever place that is.
        const enough = changes.length + 7 * (n + 1);
        await watch.reader.until(({ changes: { length }, places }) => {
          return changes.length + length >= Math.min(enough, expected) || places.length > 50;
        });
        const taken = watch.reader.places.slice();
        changes.push(...taken.flatMap(({ change }) => change ?? []));
        position = taken.at(-1)?.position ?? position;
      }
    });
    const acknowledged = await changeByContendingWriters(
      database.url,
      ids.map(({ id }) => id),
    );
    expected = ids.length + [...acknowledged.values()].reduce((sum, count) => sum + count, 0);
    await Promise.all(readers);
    for (const changes of read) {
      expect(changes).toHaveLength(expected);
      for (const { id } of ids) {
        const revisions = changes
          .filter(({ post }) => post.id === id)
          .map(({ post }) => Number.parseInt(post.etag, 10));
        expect(revisions).toEqual(Array.from({ length: (acknowledged.get(id) ?? 0) + 1 }, (_, i) => i + 1));
      }
    }
  });
});

interface OpenWatch extends AsyncDisposable {
  readonly reader: WatchReader;
  readonly watches: PostWatches;
  readonly ending: AbortController;
}

function openWatch(
  options: WatchOptions & { readonly start?: PostChangePosition; readonly filter?: Partial<WatchFilter> } = {},
): OpenWatch {
  const { start, filter, ...rest } = options;
  const watches = new PostWatches(feed, db, rest);
  const ending = new AbortController();
  const reader = new WatchReader(watches.watch(start, { ...ALL, ...filter }, ending.signal));
  const end = async () => {
    ending.abort(new Error('the test is over'));
    await reader.until(({ end }) => end !== undefined);
  };
  return { reader, watches, ending, [Symbol.asyncDispose]: () => end().catch(() => {}) };
}

/** A watch of which the test takes each place itself. */
async function openByHand(options: WatchOptions) {
  const ending = new AbortController();
  const watch = new PostWatches(feed, db, options).watch(undefined, ALL, ending.signal);
  const next = async (): Promise<WatchedPlace> => {
    const { value, done } = await watch.next();
    if (done) throw new Error('the watch has ended');
    return value;
  };
  const first = await next();
  return { first, next, end: () => watch.return(undefined) };
}

function kinds(changes: readonly PostChange[]): string[] {
  return changes.map(({ kind, post }) => `${kind} ${post.id}`);
}

async function sqlOf(text: string): Promise<void> {
  const client = new pg.Client(database.url);
  await client.connect();
  await client.query(text);
  await client.end();
}
