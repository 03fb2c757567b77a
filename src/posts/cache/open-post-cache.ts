import { createHmac } from 'node:crypto';
import type { RedisCache } from '#src/cache/redis-cache.ts';
import { createNearCache } from '#src/cache/sieve-store.ts';
import type { Config } from '#src/config/config.ts';
import type { Logger } from '#src/observability/logger.ts';
import type { Metrics } from '#src/observability/metrics.ts';
import { type CacheEntry, sizeOfEntry } from '#src/posts/cache/cache-entry.ts';
import { CachedPostStore } from '#src/posts/cache/cached-post-store.ts';
import { RedisTier } from '#src/posts/cache/redis-tier.ts';
import { StaleIfError } from '#src/posts/cache/stale-if-error.ts';
import type { ChangeFeed } from '#src/posts/feed/change-feed.ts';
import type { PostStore } from '#src/posts/post-store.ts';

/** The store with the cache that the settings configure, or without one. It does not wait for Redis. */
export async function openPostCache(
  store: PostStore,
  config: Pick<Config, 'cache' | 'redis' | 'database'>,
  uses: PostCacheUses,
): Promise<OpenPostCache> {
  const parts = new AsyncDisposableStack();
  const closing = { [Symbol.asyncDispose]: () => parts.disposeAsync() };
  if (config.cache.nearBytes === 0) return { store, canServeStale: () => false, state: () => ({}), ...closing };
  const { feed, log, metrics, isQueueing } = uses;
  const near = createNearCache<CacheEntry>({ maxBytes: config.cache.nearBytes, sizeOf: sizeOfEntry });
  const { store: kept } = near;
  metrics.readFrom({ nearCacheBytes: () => kept.bytes, nearCacheEntries: () => kept.size });
  const sharedCache = await openSharedCache(config.redis, uses, parts);
  const onOutcome = (outcome: string) => metrics.cacheAnswered('shared', outcome);
  const shared = sharedCache && new RedisTier(sharedCache, { now, onOutcome });
  const outage = new StaleIfError(log, now, isQueueing);
  const cached = new CachedPostStore(
    store,
    { feed, near, shared, outage },
    {
      ...config.cache,
      replicaMaxLagMs: config.database.replicaMaxLagMs,
      now,
      onOutcome: outcome => metrics.cacheAnswered('near', outcome),
    },
  );
  return {
    store: parts.use(cached),
    canServeStale: () => kept.size > 0 && outage.durationMs < config.cache.staleIfErrorMs,
    state: () => ({ nearEntries: kept.size, nearBytes: kept.bytes, ...(sharedCache && { redis: sharedCache.state }) }),
    ...closing,
  };
}

/** Disposing of it ends what was opened for the store. */
export interface OpenPostCache extends AsyncDisposable {
  readonly store: PostStore;
  /** Whether it has entries to serve while the database fails, and the failure has not lasted too long. */
  readonly canServeStale: () => boolean;
  /** The state for operators. */
  readonly state: () => CacheState;
}

export interface CacheState {
  readonly nearEntries?: number;
  readonly nearBytes?: number;
  /** The state of the circuit breaker; undefined: there is no Redis. */
  readonly redis?: string;
}

export interface PostCacheUses {
  readonly feed: ChangeFeed;
  readonly log: Logger;
  readonly metrics: Metrics;
  /** Whether reads queue for the database. */
  readonly isQueueing: () => boolean;
  /**
   * The secret of the keys' namespace, so that two services can share one Redis. Instances that share a cache must have the same secret.
   */
  readonly secret: string;
}

async function openSharedCache(
  { url, timeoutMs }: Config['redis'],
  { log, metrics, secret }: PostCacheUses,
  parts: AsyncDisposableStack,
): Promise<RedisCache | undefined> {
  if (url === undefined) return undefined;
  // Loaded only with Redis, because it takes time.
  const { RedisCache: Cache } = await import('#src/cache/redis-cache.ts');
  const service = createHmac('sha256', secret).update('postservice shared cache v1').digest('base64url').slice(0, 12);
  const cache = parts.use(
    new Cache(url, {
      ...{ namespace: `postservice:${service}`, timeoutMs, log },
      onStateChange: state => metrics.breakerChanged('redis', state),
      onError: () => metrics.cacheAnswered('shared', 'error'),
    }),
  );
  metrics.breakerChanged('redis', cache.state);
  return cache;
}

function now(): number {
  return performance.now();
}
