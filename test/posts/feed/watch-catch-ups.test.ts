import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { createDatabase, type Database, runText } from '#src/db/database.ts';
import { DatabaseUnavailableError } from '#src/db/errors.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { createLogger } from '#src/observability/logger.ts';
import { CATCH_UPS_AT_ONCE, type CatchUpOptions } from '#src/posts/feed/catch-ups.ts';
import { ChangeFeed } from '#src/posts/feed/change-feed.ts';
import { type PostChangePosition, PostChangesExpiredError } from '#src/posts/feed/post-change-position.ts';
import { readPosition } from '#src/posts/feed/post-change-query.ts';
import { PostWatches, type WatchFilter } from '#src/posts/feed/post-watches.ts';
import { PostgresPostStore } from '#src/posts/store/postgres-post-store.ts';
import { OverloadedError } from '#src/resilience/overloaded-error.ts';
import { untilConnected } from '#test/support/feed-ledger.ts';
import { LogLines } from '#test/support/log-lines.ts';
import { aNewPost } from '#test/support/post-builder.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { watchRunningQueries } from '#test/support/running-queries.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';
import { WatchReader } from '#test/support/watch-reader.ts';

/** More than a feed remembers. */
const CHANGES = 10_000;
const WRITE = { validateOnly: false, etag: undefined };
const ALL: WatchFilter = { author: undefined, tag: undefined };
const NOBODY: WatchFilter = { author: 'Nobody', tag: undefined };

let database: TestDatabase;
let client: pg.Client;
let db: Database;
let store: PostgresPostStore;
let feed: ChangeFeed;
let farBehind: PostChangePosition;
/** All of them further behind than the feed remembers. */
const places: PostChangePosition[] = [];
const ending: (() => Promise<void>)[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  client = new pg.Client(database.url);
  await client.connect();
  db = createDatabase(new ConnectionPool(database.url, aDatabaseConfig({ poolMax: CATCH_UPS_AT_ONCE })));
  store = new PostgresPostStore(createDatabase(new ConnectionPool(database.url, aDatabaseConfig())));
  for (let n = 0; n < CHANGES; n += 1000) {
    if (places.length < 6) places.push(await readPosition((text, values) => runText(db, text, values)));
    await client.query(CHANGE_1000, [n]);
  }
  farBehind = places[0] as PostChangePosition;
  feed = await openFeed();
});
afterEach(async () => {
  await Promise.all(ending.splice(0).map(end => end()));
});
afterAll(async () => {
  await feed?.[Symbol.asyncDispose]();
  await db?.destroy();
  await client?.end();
  await database?.[Symbol.asyncDispose]();
});

describe('Watches that resume from far behind', () => {
  it('are read for two at a time, while all have their places and heartbeats', async () => {
    await using queries = await watchRunningQueries(database.url);
    await client.query('begin; lock table post_changes in access exclusive mode');
    const watches = new PostWatches(feed, db, { heartbeatMs: 5 });
    const readers = places.map((place, n) => open(watches, place, { ...NOBODY, author: `Nobody ${n}` }));
    await queries.until(CATCH_UPS_AT_ONCE);
    await Promise.all(readers.map(reader => reader.until(({ places }) => places.length > 3)));
    expect(await queries.count()).toBe(CATCH_UPS_AT_ONCE);
    for (const [n, reader] of readers.entries())
      for (const { position } of reader.places) expect(position).toBe(places[n]);
    await client.query('rollback');
    await untilConnected(feed);
    const post = aNewPost({ author: 'Nobody 3' });
    await store.create([post], WRITE);
    await readers[3]?.until(({ changes }) => changes.length === 1);
  });

  it('tell places that move on where nothing matches', async () => {
    const reader = open(new PostWatches(feed, db, { heartbeatMs: 0 }), farBehind, NOBODY);
    await reader.until(({ places }) => places.some(({ position: { from } }) => from !== farBehind.from));
    const reached = reader.places.flatMap(({ position }) => position.afterId ?? []);
    expect(reached.length).toBeGreaterThan(2);
    expect(reached).toEqual([...reached].sort((a, b) => Number(a - b)));
  });

  it('get all of what they missed, and then what comes', async () => {
    const reader = open(new PostWatches(feed, db), farBehind, ALL);
    await reader.until(({ places }) => places.length > CHANGES);
    const post = aNewPost();
    await store.create([post], WRITE);
    await reader.until(({ places }) => places.at(-1)?.change?.post.id === post.id);
    expect(new Set(reader.changes.map(({ id }) => id)).size).toBe(reader.changes.length);
  });

  it('share what is read where they stand at one place, whatever they want of it', async () => {
    let statements = 0;
    const counted = createDatabase(
      new ConnectionPool(database.url, aDatabaseConfig({ poolMax: CATCH_UPS_AT_ONCE }), {
        held: () => {
          statements++;
        },
      }),
    );
    const watches = new PostWatches(feed, counted);
    const wanted = Array.from({ length: 20 }, (_, n) =>
      n % 2 ? { author: `Shared ${n}`, tag: undefined } : { author: undefined, tag: `tag-${n}` },
    );
    const readers = wanted.map(filter => open(watches, farBehind, filter));
    await Promise.all(readers.map(reader => reader.until(({ places }) => places.length === 1)));
    const posts = wanted.map((_, n) => aNewPost({ author: `Shared ${n}`, tags: [`tag-${n}`] }));
    for (const post of posts) await store.create([post], WRITE);
    for (const [n, reader] of readers.entries()) {
      await reader.until(({ changes }) => changes.length > 0);
      expect(reader.changes.map(({ post }) => post.id)).toEqual([posts[n]?.id]);
    }
    // Five or six batches of 2,000.
    expect(statements).toBeLessThan(12);
    await Promise.all(ending.splice(0).map(end => end()));
    await counted.destroy();
  });

  it('are stopped with the others, and wait no longer', async () => {
    await client.query('begin; lock table post_changes in access exclusive mode');
    const watches = new PostWatches(feed, db);
    const readers = Array.from({ length: 6 }, (_, n) =>
      open(watches, farBehind, { ...NOBODY, author: `Stopped ${n}` }),
    );
    await Promise.all(readers.map(reader => reader.until(({ places }) => places.length === 1)));
    watches.stop();
    await Promise.all(readers.map(reader => reader.until(({ end }) => end === null)));
    await client.query('rollback');
    await untilConnected(feed);
  });
});

describe('Under overload', () => {
  it('catch-ups wait for its end, and then go on', async () => {
    let isOverloaded = true;
    let looks = 0;
    const isBusy = () => false;
    const options: CatchUpOptions = {
      isBusy,
      isOverloaded: () => {
        looks++;
        return isOverloaded;
      },
    };
    const reader = open(new PostWatches(feed, db, { ...options, heartbeatMs: 5 }), farBehind, ALL);
    await reader.until(({ places }) => looks > 3 && places.length > 3);
    expect(reader.changes).toEqual([]);
    isOverloaded = false;
    await reader.until(({ places }) => places.length > CHANGES);
  });

  it('catch-ups are refused where it lasts, and those who keep up are not', async () => {
    let shed = 0;
    const onShed = () => {
      shed++;
    };
    const watches = new PostWatches(feed, db, { isOverloaded: () => true, patienceMs: 0, onShed });
    const current = open(watches, undefined, ALL);
    await current.until(({ places }) => places.length === 1);
    await expect(open(watches, farBehind, ALL).until(() => false)).rejects.toThrow(OverloadedError);
    expect(shed).toBe(1);
    const post = aNewPost();
    await store.create([post], WRITE);
    await current.until(({ changes }) => changes.at(-1)?.post.id === post.id);
  });

  it('catch-ups begin later while others wait for the database, but do begin', async () => {
    let looks = 0;
    const isBusy = () => {
      looks++;
      return true;
    };
    const reader = open(new PostWatches(feed, db, { isBusy }), farBehind, { author: 'Busy', tag: undefined });
    const post = aNewPost({ author: 'Busy' });
    await store.create([post], WRITE);
    await reader.until(({ changes }) => changes.length === 1);
    expect(looks).toBeGreaterThan(5);
  });
});

describe('A watch that needs nothing from the past', () => {
  let unreachable: Database;
  beforeAll(() => {
    // Nobody listens there.
    unreachable = createDatabase(new ConnectionPool('postgres://nobody@127.0.0.1:1/none', aDatabaseConfig()));
  });
  afterAll(() => unreachable?.destroy());

  it('begins now without a connection of its own', async () => {
    const reader = open(new PostWatches(feed, unreachable), undefined, ALL);
    await reader.until(({ places }) => places.length === 1);
    const post = aNewPost();
    await store.create([post], WRITE);
    await reader.until(({ changes }) => changes.length === 1);
    expect(reader.changes[0]?.post.id).toBe(post.id);
  });

  it('resumes within what the feed remembers without one, also what a feed before it had told', async () => {
    const first = open(new PostWatches(feed, unreachable), undefined, ALL);
    await first.until(({ places }) => places.length === 1);
    const posts = [[aNewPost(), aNewPost()], [aNewPost()], [aNewPost(), aNewPost(), aNewPost()]];
    for (const each of posts) await store.create(each, WRITE);
    await first.until(({ changes }) => changes.length === 6);
    await using restarted = await openFeed();
    for (const told of [feed, restarted]) {
      const watches = new PostWatches(told, unreachable);
      for (const [n, { position }] of first.places.entries()) {
        const again = open(watches, position, ALL);
        const rest = first.places.slice(n + 1).map(({ change }) => change?.id);
        await again.until(({ places, changes }) => places.length > 0 && changes.length >= rest.length);
        expect(again.changes.map(({ id }) => id)).toEqual(rest);
      }
    }
  });

  it('is refused all the same where its place is of another history', async () => {
    const { proof, from } = (await feed.end()).position;
    const forged = { from, proof: { id: 1n, recent: [], ...proof, digest: '0'.repeat(24) } };
    await expect(open(new PostWatches(feed, db), forged, ALL).until(() => false)).rejects.toThrow(
      PostChangesExpiredError,
    );
    const unknown = { from, proof: { id: 1n, digest: '', ...proof, recent: [1n << 40n] } };
    await expect(open(new PostWatches(feed, db), unknown, ALL).until(() => false)).rejects.toThrow(
      PostChangesExpiredError,
    );
  });

  it('fails where there is more to read, and no database', async () => {
    const reader = open(new PostWatches(feed, unreachable), farBehind, ALL);
    await expect(reader.until(() => false)).rejects.toThrow(DatabaseUnavailableError);
  });
});

function open(watches: PostWatches, start: PostChangePosition | undefined, filter: WatchFilter): WatchReader {
  const leaving = new AbortController();
  const reader = new WatchReader(watches.watch(start, filter, leaving.signal));
  ending.push(async () => {
    leaving.abort(new Error('the test is over'));
    await reader.until(({ end }) => end !== undefined).catch(() => {});
  });
  return reader;
}

async function openFeed(): Promise<ChangeFeed> {
  const opened = new ChangeFeed(database.url, await createLogger({ level: 'fatal', format: 'json' }, new LogLines()));
  await untilConnected(opened);
  return opened;
}

const CHANGE_1000 = `
  insert into post_changes (kind, post_id, slug, title, author, tags, create_time, update_time, revision)
  select 'created', gen_random_uuid(), 'change-' || i, 'A change', 'Ada', '{one,two}', now(), now(), 1
  from generate_series($1::int, $1::int + 999) i`;
