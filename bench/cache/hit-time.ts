import { createNearCache } from '#src/cache/sieve-store.ts';
import type { Logger } from '#src/observability/logger.ts';
import { type CacheEntry, sizeOfEntry } from '#src/posts/cache/cache-entry.ts';
import { CachedPostStore } from '#src/posts/cache/cached-post-store.ts';
import { StaleIfError } from '#src/posts/cache/stale-if-error.ts';
import type { Post } from '#src/posts/post.ts';
import type { PostStore } from '#src/posts/post-store.ts';
import { type Quartiles, quartiles } from '../quartiles.ts';
import { SNAPSHOT } from './cached-posts.ts';

/** Microseconds of one hit. */
export interface HitTime {
  readonly store: Quartiles;
  readonly nearCache: Quartiles;
  /** The same entry through Keyv. */
  readonly keyv: Quartiles;
}

/** Reads cached posts one after the other: through the store, as the service does, and from the near cache alone. */
export async function measureHitTime(
  answers: readonly CacheEntry<Post>[],
  log: Logger,
  rounds: number,
): Promise<HitTime> {
  const now = () => performance.now();
  const near = createNearCache<CacheEntry>({ maxBytes: 1e9, sizeOf: sizeOfEntry });
  const byId = new Map(answers.map(answer => [answer.value.id, answer.value]));
  const backing: Partial<PostStore> = {
    getById: async (id, call) => {
      call?.readAt?.(SNAPSHOT);
      return byId.get(id);
    },
  };
  const feed = { snapshot: SNAPSHOT, era: 1, lastEra: 1, life: undefined, lagMs: 0, listen: () => () => {} };
  const options = {
    ttlMs: 3_600_000,
    negativeTtlMs: 1000,
    listTtlMs: 1000,
    staleIfErrorMs: 0,
    replicaMaxLagMs: 5000,
    now,
    onOutcome: () => {},
  };
  const parts = { feed, near, shared: undefined, outage: new StaleIfError(log, now, () => false) };
  using store = new CachedPostStore(backing as PostStore, parts, options);
  const ids = [...byId.keys()];
  const call = { signal: new AbortController().signal };
  for (const id of ids) await store.getById(id, call);
  const [stores, nears, keyvs] = [[], [], []] as [number[], number[], number[]];
  for (let round = 0; round <= rounds; round++) {
    let begin = performance.now();
    for (let n = 0; n < READS; n++) await store.getById(ids[n % ids.length] as string, call);
    if (round > 0) stores.push(((performance.now() - begin) * 1000) / READS);
    begin = performance.now();
    let found = 0;
    for (let n = 0; n < READS; n++) if (near.peek?.(`id:${ids[n % ids.length]}`) !== undefined) found++;
    if (found !== READS) throw new Error('not all of it was cached');
    if (round > 0) nears.push(((performance.now() - begin) * 1000) / READS);
    begin = performance.now();
    for (let n = 0; n < READS; n++) await near.keyv.get(`id:${ids[n % ids.length]}`);
    if (round > 0) keyvs.push(((performance.now() - begin) * 1000) / READS);
  }
  return { store: quartiles(stores), nearCache: quartiles(nears), keyv: quartiles(keyvs) };
}

const READS = 200_000;
