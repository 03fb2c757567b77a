import { NearCache } from '#src/cache/near-cache.ts';
import type { CacheConfig } from '#src/config.ts';
import type { Logger } from '#src/observability/logger.ts';
import type { Metrics } from '#src/observability/metrics.ts';
import { type CachedAnswer, sizeOfAnswer } from '#src/posts/cached-answer.ts';
import { CachedPostStore } from '#src/posts/cached-post-store.ts';
import type { ChangeFeed } from '#src/posts/change-feed.ts';
import { DatabaseOutage } from '#src/posts/database-outage.ts';
import type { PostStore } from '#src/posts/post-store.ts';

/** The store with a cache in front of it, as the settings want it; without one where they want none. */
export function openPostCache(store: PostStore, config: CacheConfig, uses: PostCacheUses): PostStore & Disposable {
  if (config.nearBytes === 0) return Object.assign(store, { [Symbol.dispose]: () => {} });
  const { feed, log, metrics } = uses;
  const now = () => performance.now();
  const near = new NearCache<CachedAnswer>({ maxBytes: config.nearBytes, sizeOf: sizeOfAnswer, now });
  metrics.readFrom({ nearCacheBytes: () => near.bytes, nearCacheEntries: () => near.size });
  return new CachedPostStore(
    store,
    { feed, near, shared: undefined, outage: new DatabaseOutage(log, now) },
    { ...config, now, onOutcome: outcome => metrics.cacheAnswered('near', outcome) },
  );
}

export interface PostCacheUses {
  readonly feed: ChangeFeed;
  readonly log: Logger;
  readonly metrics: Metrics;
}
