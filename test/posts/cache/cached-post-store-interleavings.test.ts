import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { createNearCache, type NearCache } from '#src/cache/sieve-store.ts';
import { DatabaseUnavailableError } from '#src/db/errors.ts';
import { createLogger, type Logger } from '#src/observability/logger.ts';
import { type CacheEntry, sizeOfEntry } from '#src/posts/cache/cache-entry.ts';
import { idKey, slugKey } from '#src/posts/cache/cache-tags.ts';
import { CachedPostStore } from '#src/posts/cache/cached-post-store.ts';
import { RedisTier } from '#src/posts/cache/redis-tier.ts';
import { StaleIfError } from '#src/posts/cache/stale-if-error.ts';
import type { Post } from '#src/posts/post.ts';
import type { PostQuery, StoreCall } from '#src/posts/post-store.ts';
import { LogLines } from '#test/support/log-lines.ts';
import { SimulatedDatabase, SimulatedFeed, type Version, versionOf } from '#test/support/simulated-database.ts';

const IDS = ['p', 'q'];
const LIST: PostQuery = {
  ...{ author: undefined, tag: undefined, state: undefined, showDeleted: false },
  ...{ order: { by: 'createTime', descending: true }, after: undefined, skip: 0, limit: 20, maxContentBytes: 0 },
};
const TTL_MS = 1000;
const STALE_IF_ERROR_MS = 100_000;

const instance = fc.nat({ max: 1 });
const id = fc.constantFrom('p', 'q');
const moved = fc.boolean();
const read = fc.record({
  ...{ do: fc.constant('read' as const), by: fc.constantFrom('id', 'slug', 'many', 'list'), instance, id, moved },
  ...{ leaves: fc.integer({ min: 1, max: 5 }).map(n => n === 1), hasToken: fc.boolean() },
});
const write = fc.record({ do: fc.constant('write' as const), instance, id, moved });
const writeElsewhere = fc.record({ do: fc.constant('write elsewhere' as const), id, moved });
const isGap = fc.integer({ min: 1, max: 5 }).map(n => n === 1);
const feed = fc.record({ do: fc.constant('feed' as const), instance, isGap });
const evict = fc.record({ do: fc.constant('evict' as const), instance, id, moved });
const wait = fc.record({ do: fc.constant('wait' as const), ms: fc.constantFrom(1, 850, 1000, 102_000) });
const burn = fc.record({ do: fc.constant('burn' as const) });
const crash = fc.record({ do: fc.constant('crash' as const) });
const fail = fc.record({ do: fc.constant('fail' as const), isFailing: fc.boolean() });
// As many of each as they stand here.
const step = fc.oneof(
  read,
  read,
  read,
  read,
  read,
  write,
  write,
  writeElsewhere,
  feed,
  feed,
  evict,
  wait,
  fail,
  burn,
  crash,
);
const slowStep = fc.oneof(read, read, read, write, writeElsewhere, feed, feed, fail, burn, crash);
/** What is known of a write of a post is forgotten after some steps, when its answers are far from too old. */
const SLOW_STEP_MS = 6000;

describe('Cached stores over one database, whatever is done in whatever order,', () => {
  let log: Logger;
  beforeAll(async () => {
    log = await createLogger({ level: 'fatal', format: 'json' }, new LogLines());
  });

  describe.each([
    ['on their own', false],
    ['with a cache that they share', true],
  ])('%s,', (_case, isShared) => {
    it('never give what is older than they know, nor than the call has to see', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.scheduler(),
          fc.array(step, { minLength: 10, maxLength: 30, size: 'max' }),
          async (scheduler, steps) => {
            const world = new World(label => scheduler.schedule(Promise.resolve(), label), isShared, log);
            const began = world.begin();
            for (const taken of steps) {
              const run = async () => {
                await began;
                await world.take(taken);
              };
              void scheduler.schedule(Promise.resolve(), taken.do).then(() => world.running.push(run()));
            }
            await scheduler.waitFor(began);
            while (scheduler.count() > 0) await scheduler.waitOne();
            await scheduler.waitFor(Promise.all(world.running));
            world.end();
          },
        ),
        { numRuns: 2000, interruptAfterTimeLimit: 20_000 },
      );
    });

    it('nor what is older than they knew and have forgotten', async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(slowStep, { minLength: 20, maxLength: 60, size: 'max' }), async steps => {
          const world = new World(() => Promise.resolve(), isShared, log);
          await world.begin();
          for (const taken of steps) {
            world.pass(SLOW_STEP_MS);
            await world.take(taken);
          }
          world.end();
        }),
        { numRuns: 2000, interruptAfterTimeLimit: 20_000 },
      );
    });
  });
});

class World {
  readonly running: Promise<void>[] = [];
  readonly #database: SimulatedDatabase;
  readonly #instances: Instance[];
  readonly #tokens: Version[] = [];
  #now = 0;

  /** @param point is waited for by each thing that takes time. */
  constructor(point: (label: string) => Promise<void>, isShared: boolean, log: Logger) {
    this.#database = new SimulatedDatabase(point);
    const texts = new Map<string, string>();
    this.#instances = [0, 1].map(() => {
      const now = () => this.#now;
      const feed = new SimulatedFeed(this.#database, point);
      const near = createNearCache<CacheEntry>({ maxBytes: 1e6, sizeOf: sizeOfEntry });
      const shared = isShared ? new RedisTier(sharedCache(texts, point), { now }) : undefined;
      const store = new CachedPostStore(
        this.#database.store,
        { feed, near, shared, outage: new StaleIfError(log, now, () => false) },
        {
          ...{ ttlMs: TTL_MS, negativeTtlMs: TTL_MS, listTtlMs: TTL_MS, staleIfErrorMs: STALE_IF_ERROR_MS },
          ...{ replicaMaxLagMs: 0, now, random: () => 0 },
        },
      );
      return { store, feed, near, acknowledged: new Map() };
    });
  }

  /** Every post has a first version, of which the feeds have not told. */
  async begin(): Promise<void> {
    for (const each of IDS) await this.#database.write(each, `${each}-a`);
  }

  end(): void {
    for (const { store } of this.#instances) store[Symbol.dispose]();
  }

  pass(ms: number): void {
    this.#now += ms;
  }

  async take(taken: Step): Promise<void> {
    if (taken.do === 'read') await this.#read(taken);
    else if (taken.do === 'write') await this.#write(taken);
    else if (taken.do === 'write elsewhere') await this.#writeElsewhere(taken);
    else if (taken.do === 'burn') this.#database.burn(3n);
    else if (taken.do === 'crash') this.#database.crash();
    else if (taken.do === 'feed') await this.#at(taken).feed.poll(taken.isGap);
    else if (taken.do === 'wait') this.pass(taken.ms);
    else if (taken.do === 'fail') this.#database.isFailing = taken.isFailing;
    else for (const key of [idKey(taken.id), slugKey(slugOf(taken))]) void this.#at(taken).near.keyv.delete(key);
  }

  async #writeElsewhere(write: Step<'write elsewhere'>): Promise<void> {
    const written = await unlessItCrashes(this.#database.write(write.id, slugOf(write)));
    if (written !== undefined) this.#tokens.push(written);
  }

  async #write(write: Step<'write'>): Promise<void> {
    const { store, acknowledged } = this.#at(write);
    let xid = 0n;
    const call = { committed: (by: bigint) => (xid = by) };
    const slug = slugOf(write);
    const updating = store.update(write.id, { slug }, { validateOnly: false, etag: undefined }, call);
    const written = await unlessItCrashes(updating);
    if (written === undefined) return;
    const number = versionOf(written);
    acknowledged.set(write.id, Math.max(number, acknowledged.get(write.id) ?? 0));
    this.#tokens.push({ id: write.id, slug, number, xid, previous: undefined });
  }

  async #read(read: Step<'read'>): Promise<void> {
    const { store, acknowledged, feed: heard } = this.#at(read);
    const token = read.hasToken ? this.#tokens.at(-1) : undefined;
    const floors = new Map(
      IDS.map(of => [
        of,
        Math.max(acknowledged.get(of) ?? 0, heard.told.get(of) ?? 0, token?.id === of ? token.number : 0),
      ]),
    );
    const leaving = new AbortController();
    const result = look(store, read, { signal: leaving.signal, minTransactions: token && [token.xid] });
    if (read.leaves) leaving.abort(new Error('left'));
    const found = await result.catch(error => error);
    if (found instanceof Error) {
      expect(['simulated', ...(read.leaves ? ['left'] : [])]).toContain(found.message);
      return;
    }
    for (const post of found) expect(versionOf(post)).toBeGreaterThanOrEqual(floors.get(post.id) ?? 0);
    if (read.by === 'slug' && found.length === 0) {
      const couldBeNone = this.#database.hasSince(
        read.id,
        floors.get(read.id) ?? 0,
        ({ slug }) => slug !== slugOf(read),
      );
      expect(couldBeNone, 'each version since had the slug').toBe(true);
    } else {
      expect(found.map((post: Post) => (read.by === 'slug' ? post.slug : post.id))).toContain(
        read.by === 'slug' ? slugOf(read) : read.id,
      );
    }
  }

  #at(taken: { readonly instance: number }): Instance {
    return this.#instances[taken.instance] as Instance;
  }
}

/** The result of a write; undefined where the database has crashed before its commit. */
async function unlessItCrashes<T>(writing: Promise<T>): Promise<T | undefined> {
  return writing.catch(error => {
    if (error instanceof DatabaseUnavailableError) return undefined;
    throw error;
  });
}

async function look(store: CachedPostStore, read: Step<'read'>, call: StoreCall): Promise<readonly Post[]> {
  if (read.by === 'many') return store.getMany(IDS, 1e6, call);
  if (read.by === 'list') return (await store.list(LIST, call)).posts;
  const post = read.by === 'id' ? store.getById(read.id, call) : store.getBySlug(slugOf(read), call);
  return [await post].filter(found => found !== undefined);
}

/** One that keeps everything, and is as slow as the scheduler likes. Claims are never refused: who waits for others waits for a while. */
function sharedCache(texts: Map<string, string>, point: (label: string) => Promise<void>) {
  return {
    get: async (key: string) => {
      await point('shared get');
      const text = texts.get(key);
      return text === undefined ? undefined : { text, leftMs: TTL_MS };
    },
    set: async (key: string, text: string) => {
      await point('shared set');
      texts.set(key, text);
    },
    delete: async (keys: readonly string[]) => {
      await point('shared delete');
      for (const key of keys) texts.delete(key);
    },
    claim: async () => ({ release: async () => {} }),
    look: async () => 'unavailable' as const,
  };
}

interface Instance {
  readonly store: CachedPostStore;
  readonly feed: SimulatedFeed;
  readonly near: NearCache<CacheEntry>;
  /** The last version of each post that this instance has acknowledged. */
  readonly acknowledged: Map<string, number>;
}

type AnyStep = typeof step extends fc.Arbitrary<infer T> ? T : never;
type Step<Kind = AnyStep['do']> = Extract<AnyStep, { readonly do: Kind }>;

function slugOf({ id: of, moved: isMoved }: { readonly id: string; readonly moved: boolean }): string {
  return `${of}-${isMoved ? 'b' : 'a'}`;
}
