import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisCache, SharedEntry } from '#src/cache/redis-cache.ts';
import { type CacheEntry, decodeEntry, encodeEntry } from '#src/posts/cache/cache-entry.ts';

/**
 * Answers in Redis, which instances share. If several instances miss the same answer at once, one reads the database, and the others wait
 * for its answer.
 *
 * If Redis fails, or holds text that is not an answer, the database is read as without Redis.
 */
export class RedisTier {
  readonly #cache: Pick<RedisCache, 'get' | 'set' | 'delete' | 'claim' | 'look'>;
  readonly #options: RedisTierOptions;

  constructor(cache: Pick<RedisCache, 'get' | 'set' | 'delete' | 'claim' | 'look'>, options: RedisTierOptions) {
    this.#cache = cache;
    this.#options = options;
  }

  /** The answer from Redis, if it is usable. Otherwise it loads the answer, and writes it to Redis if it is shareable. */
  async fill(key: string, fill: SharedFill): Promise<LoadedAnswer> {
    const entry = await this.#cache.get(key);
    if (entry === 'unavailable') return this.#miss(fill);
    const found = this.#decode(entry, fill);
    if (found !== undefined) return found;
    const claim = await this.#cache.claim(key, CLAIM_MS);
    if (claim === 'unavailable') return this.#miss(fill);
    if (claim === 'taken') return (await this.#awaitOthers(key, fill)) ?? this.#miss(fill);
    try {
      const loaded = await this.#miss(fill);
      // Sent before the lease ends, so that an instance without a lease to wait for finds the answer.
      if (loaded.isShareable) void this.#cache.set(key, encodeEntry(loaded.answer), loaded.answer.ttlMs);
      return loaded;
    } finally {
      void claim.release();
    }
  }

  /** Does not wait: an old answer is useless to all who know of the write. */
  delete(keys: readonly string[]): void {
    void this.#cache.delete(keys);
  }

  #miss(fill: SharedFill): Promise<LoadedAnswer> {
    this.#options.onOutcome?.('miss');
    return fill.load();
  }

  /** The answer of another instance, as soon as it is there; undefined if it does not come. */
  async #awaitOthers(key: string, fill: SharedFill): Promise<LoadedAnswer | undefined> {
    const endsAt = this.#options.now() + WAIT_MS;
    for (let pauseMs = FIRST_PAUSE_MS; this.#options.now() < endsAt; pauseMs = Math.min(pauseMs * 1.5, LAST_PAUSE_MS)) {
      await sleep(pauseMs * (0.5 + Math.random()), undefined, { signal: fill.signal });
      const looked = await this.#cache.look(key);
      if (looked === 'unavailable') return undefined;
      const found = this.#decode(looked.entry, fill);
      if (found !== undefined || !looked.isClaimed) return found;
    }
    return undefined;
  }

  #decode(entry: SharedEntry | undefined, { isUsable, era }: SharedFill): LoadedAnswer | undefined {
    if (entry === undefined) return undefined;
    const answer = decodeEntry(entry.text, era, this.#options.now(), entry.leftMs);
    if (answer === undefined) {
      this.#options.onOutcome?.('error');
      return undefined;
    }
    if (!isUsable(answer)) return undefined;
    this.#options.onOutcome?.(answer.value === undefined ? 'negative' : 'hit');
    return { answer, isShareable: true };
  }
}

/** How an answer is loaded, and which one may be used. */
export interface SharedFill {
  readonly load: () => Promise<LoadedAnswer>;
  readonly isUsable: (answer: CacheEntry) => boolean;
  /** The era of the key. */
  readonly era: number;
  /** Ends the wait for other instances. */
  readonly signal: AbortSignal;
}

export interface LoadedAnswer {
  readonly answer: CacheEntry;
  /** False: it may already be out of date, or nobody would notice when it is. */
  readonly isShareable: boolean;
}

export interface RedisTierOptions {
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
  /** `error`: Redis holds text that is not an answer. */
  readonly onOutcome?: (outcome: 'hit' | 'negative' | 'miss' | 'error') => void;
}

/** Longer than a read takes, so that a lease expires only if its process has died. */
const CLAIM_MS = 2000;
/** How long to wait for another instance: as long as its lease, because more reads do not help a slow database. */
const WAIT_MS = CLAIM_MS;
const FIRST_PAUSE_MS = 2;
const LAST_PAUSE_MS = 40;
