import { setTimeout as sleep } from 'node:timers/promises';
import { Keyv } from 'keyv';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createNearCache } from '#src/cache/sieve-store.ts';
import { createDatabase, type Database } from '#src/db/database.ts';
import { DatabaseUnavailableError } from '#src/db/errors.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { Snapshot } from '#src/db/snapshot.ts';
import { createLogger, type Logger } from '#src/observability/logger.ts';
import { type CacheEntry, sizeOfEntry } from '#src/posts/cache/cache-entry.ts';
import { CachedPostStore } from '#src/posts/cache/cached-post-store.ts';
import type { CacheOutcome, CacheParts } from '#src/posts/cache/read-through-cache.ts';
import { StaleIfError } from '#src/posts/cache/stale-if-error.ts';
import { ChangeFeed } from '#src/posts/feed/change-feed.ts';
import type { ChangeListener } from '#src/posts/feed/post-change.ts';
import type { PostQuery, PostStore } from '#src/posts/post-store.ts';
import { PostgresPostStore } from '#src/posts/store/postgres-post-store.ts';
import { describePostStore } from '#test/posts/store/post-store-contract.ts';
import { untilConnected } from '#test/support/feed-ledger.ts';
import { LogLines } from '#test/support/log-lines.ts';
import { aNewPost } from '#test/support/post-builder.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';

let database: TestDatabase;
let db: Database;
let feed: ChangeFeed;
let log: Logger;
let postgres: CountingStore;
let store: CachedPostStore;

beforeAll(async () => {
  database = await createTestDatabase();
  db = createDatabase(new ConnectionPool(database.url, aDatabaseConfig()));
  log = await createLogger({ level: 'fatal', format: 'json' }, new LogLines());
  feed = new ChangeFeed(database.url, log);
  await untilConnected(feed);
  postgres = countReads(new PostgresPostStore(db));
  store = cacheOf(postgres.store).store;
});
afterAll(async () => {
  store?.[Symbol.dispose]();
  await feed?.[Symbol.asyncDispose]();
  await db?.destroy();
  await database?.[Symbol.asyncDispose]();
});

const WRITE = { validateOnly: false, etag: undefined };
const LIST: PostQuery = {
  ...{ author: undefined, tag: undefined, state: undefined, showDeleted: false },
  ...{ order: { by: 'createTime', descending: true }, after: undefined, skip: 0, limit: 20, maxContentBytes: 0 },
};

describePostStore('CachedPostStore', () => store);

describe('With another store of Keyv', () => {
  let other: CachedPostStore;
  beforeAll(() => {
    const keyv = new Keyv<CacheEntry>({ serialize: undefined, deserialize: undefined } as object);
    other = cacheOf(postgres.store, { near: { keyv } }).store;
  });
  afterAll(() => other?.[Symbol.dispose]());
  describePostStore('CachedPostStore', () => other);

  it('reads a post once', async () => {
    const { id } = await create();
    const first = await other.getById(id);
    const reads = postgres.reads;
    expect(await other.getById(id)).toBe(first);
    expect(await other.getMany([id], 1e6)).toEqual([first]);
    expect(postgres.reads).toBe(reads);
  });
});

describe('A cached store', () => {
  it('reads a post once, and gives the same object again', async () => {
    const { id, slug } = await create();
    const first = await store.getById(id);
    const bySlug = await store.getBySlug(slug);
    const reads = postgres.reads;
    expect(await store.getById(id)).toBe(first);
    expect(await store.getBySlug(slug)).toBe(bySlug);
    expect(await store.getMany([id], 1e6)).toEqual([first]);
    expect(postgres.reads).toBe(reads);
  });

  it('tells the store until when its callers wait, for all who wait for the same post until the last', async () => {
    const { id } = await create();
    const asked: (number | undefined)[] = [];
    const inner = Object.assign(Object.create(postgres.store), {
      getById: async (...[wanted, call]: Parameters<PostStore['getById']>) => {
        asked.push(call?.deadline?.());
        const read = await postgres.store.getById(wanted, call);
        asked.push(call?.deadline?.());
        return read;
      },
      create: (...[posts, options, call]: Parameters<PostStore['create']>) => {
        asked.push(call?.deadline?.());
        return postgres.store.create(posts, options, call);
      },
    });
    const { store: cold } = cacheOf(inner);
    await Promise.all([cold.getById(id, { deadline: () => 1000 }), cold.getById(id, { deadline: () => 2000 })]);
    await cold.create([aNewPost()], WRITE, { deadline: () => 3000 });
    expect(asked).toEqual([1000, 2000, 3000]);
  });

  it('remembers that there is no such post, until there is one', async () => {
    const post = aNewPost();
    expect(await store.getBySlug(post.slug)).toBeUndefined();
    const reads = postgres.reads;
    expect(await store.getBySlug(post.slug)).toBeUndefined();
    expect(postgres.reads).toBe(reads);
    await store.create([post], WRITE);
    expect(await store.getBySlug(post.slug)).toMatchObject({ id: post.id });
  });

  it('reads once for a thousand callers at the same time (R23)', async () => {
    const { id } = await create();
    const { store: cold } = cacheOf(postgres.store);
    const reads = postgres.reads;
    const found = await Promise.all(Array.from({ length: 1000 }, () => cold.getById(id)));
    expect(new Set(found).size).toBe(1);
    expect(postgres.reads).toBe(reads + 1);
    cold[Symbol.dispose]();
  });

  it('never gives an older version after a write of its own is acknowledged', async () => {
    const { id, slug } = await create();
    for (let n = 0; n < 30; n++) {
      const readers = Array.from({ length: 5 }, () => Promise.all([store.getById(id), store.getBySlug(slug)]));
      const written = await store.update(id, { title: `Title ${n}` }, WRITE);
      expect((await store.getById(id))?.etag).toBe(written.etag);
      expect((await store.getBySlug(slug))?.etag).toBe(written.etag);
      expect((await store.getMany([id], 1e6))[0]?.etag).toBe(written.etag);
      await Promise.all(readers);
      expect((await store.getById(id))?.etag).toBe(written.etag);
    }
  });

  it('never finds a post by the slug that it had', async () => {
    const { id, slug } = await create();
    await store.getBySlug(slug);
    await store.update(id, { slug: `${slug}-new` }, WRITE);
    expect(await store.getBySlug(slug)).toBeUndefined();
    expect(await store.getBySlug(`${slug}-new`)).toMatchObject({ id });
  });

  it('has what was written in the next list, whatever it is filtered by', async () => {
    const author = `author-${aNewPost().id}`;
    const lists = [{ ...LIST }, { ...LIST, author }, { ...LIST, tag: author }];
    for (const list of lists) await store.list(list);
    const { id } = await create({ author, tags: [author] });
    for (const list of lists) expect((await store.list(list)).posts[0]?.id).toBe(id);
    const reads = postgres.reads;
    for (const list of lists) await store.list(list);
    expect(postgres.reads).toBe(reads);
  });

  it('follows what others write, and what is changed by hand', async () => {
    const { id } = await create();
    await store.getById(id);
    const client = new pg.Client(database.url);
    await client.connect();
    await client.query("update posts set title = 'By hand' where id = $1", [id]);
    await client.end();
    while ((await store.getById(id))?.title !== 'By hand') await sleep(1);
  });

  it('lets a call see the write that it names, before the feed has told of it', async () => {
    const { id } = await create();
    const silent = { snapshot: feed.snapshot, era: 1, lastEra: 1, life: feed.life, lagMs: 0, listen: () => () => {} };
    const { store: other } = cacheOf(postgres.store, { feed: silent });
    await other.getById(id);
    let xid = 0n;
    const written = await store.update(id, { title: 'Seen' }, WRITE, { committed: by => (xid = by) });
    expect((await other.getById(id))?.title).toBe('A title');
    expect((await other.getById(id, { minTransactions: [xid] }))?.etag).toBe(written.etag);
    expect((await other.getById(id))?.etag).toBe(written.etag);
  });

  it('shares no read with a call that has to see a write, while the feed is cut: ids may have been given out again', async () => {
    const { id } = await create();
    const cut = {
      snapshot: feed.snapshot,
      era: undefined,
      lastEra: 1,
      life: feed.life,
      lagMs: 0,
      listen: () => () => {},
    };
    const arrived = Promise.withResolvers<void>();
    const written = Promise.withResolvers<void>();
    const slow = Object.assign(Object.create(postgres.store), {
      getById: async (...[wanted, call]: Parameters<PostStore['getById']>) => {
        const read = await postgres.store.getById(wanted, { readAt: () => {} });
        arrived.resolve();
        await written.promise;
        // Before a crash this one had seen ids that are not given out yet.
        call?.readAt?.(new Snapshot('999999999:999999999:'));
        return read;
      },
    });
    const { store: other } = cacheOf(slow, { feed: cut });
    const before = other.getById(id);
    await arrived.promise;
    let xid = 0n;
    const { etag } = await store.update(id, { title: 'Seen' }, WRITE, { committed: by => (xid = by) });
    const after = other.getById(id, { minTransactions: [xid] });
    written.resolve();
    await before;
    expect((await after)?.etag).toBe(etag);
  });

  it('asks the database for a call that has to see what is committed by now', async () => {
    const { id } = await create();
    const silent = { snapshot: feed.snapshot, era: 1, lastEra: 1, life: feed.life, lagMs: 0, listen: () => () => {} };
    const { store: other } = cacheOf(postgres.store, { feed: silent });
    await other.getById(id);
    const written = await store.update(id, { title: 'Elsewhere' }, WRITE);
    const fresh = { minTransactions: [], fresh: true };
    expect((await other.getById(id, fresh))?.etag).toBe(written.etag);
    expect((await other.getMany([id], 1e6, fresh))[0]?.etag).toBe(written.etag);
  });

  it('reads again when the time is over, and a little before it in the background', async () => {
    const { id } = await create();
    const { store: cold, clock } = cacheOf(postgres.store);
    await cold.getById(id);
    const reads = postgres.reads;
    clock.now += 53_000;
    const early = await cold.getById(id);
    while ((await cold.getById(id)) === early) await sleep(1);
    expect(postgres.reads).toBe(reads + 1);
    clock.now += 61_000;
    await cold.getById(id);
    expect(postgres.reads).toBe(reads + 2);
    cold[Symbol.dispose]();
  });

  it('gives what it had while the database fails, says how old it is, and gives up after a while', async () => {
    const { id, slug } = await create();
    const { store: cold, clock, fail, outcomes } = cacheOf(postgres.store);
    await cold.getById(id);
    clock.now += 70_000;
    fail(new DatabaseUnavailableError('down'));
    const ages: number[] = [];
    expect(await cold.getById(id, { servedStale: age => ages.push(age) })).toMatchObject({ id });
    expect(ages).toEqual([70_000]);
    expect(outcomes.at(-1)).toBe('stale');
    await expect(cold.getBySlug(slug)).rejects.toThrow('down');
    clock.now += 600_000;
    await expect(cold.getById(id)).rejects.toThrow('down');
    cold[Symbol.dispose]();
  });

  it('gives nothing old of a post that it knows was written, while the database fails', async () => {
    const { id } = await create();
    const { store: cold, fail } = cacheOf(postgres.store);
    await cold.getById(id);
    await cold.update(id, { title: 'New' }, WRITE);
    fail(new DatabaseUnavailableError('down'));
    await expect(cold.getById(id)).rejects.toThrow('down');
    cold[Symbol.dispose]();
  });

  it('still has it then, however many others were written in the meantime', async () => {
    const post = await create();
    const { id } = post;
    let heard: ChangeListener | undefined;
    const told = {
      snapshot: feed.snapshot,
      era: 1,
      lastEra: 1,
      life: feed.life,
      lagMs: 0,
      listen: (listener: ChangeListener) => {
        heard = listener;
        return () => {};
      },
    };
    const { store: cold, clock, fail } = cacheOf(postgres.store, { feed: told });
    await cold.getById(id);
    for (let n = 0; n < 30_000; n++) {
      clock.now += 10;
      const from = told.snapshot as Snapshot;
      told.snapshot = new Snapshot(`${1e9 + n}:${1e9 + n}:`);
      const change = { id: BigInt(n), xid: BigInt(1e9 + n), time: new Date(0), digest: '', previous: undefined };
      const changes = [{ ...change, kind: 'created' as const, post: { ...post, id: `id-${n}`, slug: `slug-${n}` } }];
      const proof = { id: BigInt(n), digest: '', recent: [] };
      heard?.onBatch({ from, afterId: 0n, endId: 0n, to: told.snapshot, proof, life: '', complete: true, changes });
    }
    fail(new DatabaseUnavailableError('down'));
    expect(await cold.getById(id)).toMatchObject({ id });
    cold[Symbol.dispose]();
  });

  it('reads once more what took so long that a write of the meantime is forgotten', async () => {
    const { id } = await create();
    const { promise: released, resolve: release } = Promise.withResolvers<void>();
    const { promise: hasRead, resolve: read } = Promise.withResolvers<void>();
    const slow = new Proxy(postgres.store, {
      get: (target, name: keyof PostStore) =>
        name !== 'getById'
          ? target[name].bind(target)
          : async (...args: Parameters<PostStore['getById']>) => {
              const post = await target.getById(...args);
              read();
              await released;
              return post;
            },
    });
    const { store: cold, clock } = cacheOf(slow);
    const reading = cold.getById(id);
    await hasRead;
    const written = await store.update(id, { title: 'New' }, WRITE);
    for (let n = 0; n < 3; n++) {
      await create();
      clock.now += 200_000;
    }
    release();
    expect((await reading)?.etag).toBe(written.etag);
    cold[Symbol.dispose]();
  });

  it('lets one caller leave, and the others have their answer', async () => {
    const { id } = await create();
    const { store: cold } = cacheOf(postgres.store);
    const leaving = new AbortController();
    const left = cold.getById(id, { signal: leaving.signal });
    const stayed = cold.getById(id);
    leaving.abort(new Error('gone'));
    await expect(left).rejects.toThrow('gone');
    expect(await stayed).toMatchObject({ id });
    cold[Symbol.dispose]();
  });
});

async function create(fields: Parameters<typeof aNewPost>[0] = {}) {
  let xid = 0n;
  const [post] = await store.create([aNewPost(fields)], WRITE, { committed: by => (xid = by) });
  if (post === undefined) throw new Error('nothing was created');
  // The feed's word of it would make an answer useless that was read before.
  while (!feed.snapshot?.sees(xid)) await sleep(1);
  return post;
}

function cacheOf(inner: PostStore, parts: Partial<Pick<CacheParts, 'feed' | 'near'>> = {}) {
  const clock = { now: 0 };
  const outcomes: CacheOutcome[] = [];
  let failure: Error | undefined;
  const failing = new Proxy(inner, {
    get: (target, name: keyof PostStore) =>
      failure === undefined ? target[name].bind(target) : () => Promise.reject(failure),
  });
  const now = () => clock.now;
  const near = parts.near ?? createNearCache<CacheEntry>({ maxBytes: 1e7, sizeOf: sizeOfEntry });
  const options = {
    ...{ ttlMs: 60_000, negativeTtlMs: 5000, listTtlMs: 5000, staleIfErrorMs: 600_000, replicaMaxLagMs: 5000 },
    ...{ now, onOutcome: (outcome: CacheOutcome) => outcomes.push(outcome) },
  };
  return {
    store: new CachedPostStore(
      failing,
      { feed: parts.feed ?? feed, near, shared: undefined, outage: new StaleIfError(log, now, () => false) },
      options,
    ),
    clock,
    outcomes,
    fail: (error: Error) => {
      failure = error;
    },
  };
}

interface CountingStore {
  readonly store: PostStore;
  readonly reads: number;
}

function countReads(inner: PostStore): CountingStore {
  let reads = 0;
  const store = new Proxy(inner, {
    get: (target, name: keyof PostStore) => {
      if (['getById', 'getBySlug', 'getMany', 'list'].includes(name)) reads++;
      return target[name].bind(target);
    },
  });
  return {
    store,
    get reads() {
      return reads;
    },
  };
}
