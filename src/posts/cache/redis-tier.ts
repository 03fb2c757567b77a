import { setTimeout as sleep } from 'node:timers/promises';
import type { RedisCache, SharedEntry } from '#src/cache/redis-cache.ts';
import { type CacheEntry, decodeEntry, encodeEntry } from '#src/posts/cache/cache-entry.ts';

/**
 * Answers in the cache that instances share. Of the instances that miss the same answer at the same time, one reads the database, and
 * the others wait for what it read.
 *
 * Where that cache fails, or what is in it is no answer, the database is read as if there were none.
 */
export class RedisTier {
  readonly #cache: Pick<RedisCache, 'get' | 'set' | 'delete' | 'claim' | 'look'>;
  readonly #options: RedisTierOptions;

  constructor(cache: Pick<RedisCache, 'get' | 'set' | 'delete' | 'claim' | 'look'>, options: RedisTierOptions) {
    this.#cache = cache;
    this.#options = options;
  }

  /** The answer from the shared cache, where it is usable, or else what is loaded, which is put there if it is shareable. */
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
      // Sent, though not answered, before the claim ends: who finds no claim any more finds the answer.
      if (loaded.isShareable) void this.#cache.set(key, encodeEntry(loaded.answer), loaded.answer.ttlMs);
      return loaded;
    } finally {
      void claim.release();
    }
  }

  /** Nobody waits for it: what is still there is useless to all who know of the write. */
  delete(keys: readonly string[]): void {
    void this.#cache.delete(keys);
  }

  #miss(fill: SharedFill): Promise<LoadedAnswer> {
    this.#options.onOutcome?.('miss');
    return fill.load();
  }

  /** What another instance reads, as soon as it is there; undefined where it does not come. */
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

/** How an answer is had, and which one may be used. */
export interface SharedFill {
  readonly load: () => Promise<LoadedAnswer>;
  readonly isUsable: (answer: CacheEntry) => boolean;
  /** The era that the key is of. */
  readonly era: number;
  /** Ends the wait for others. */
  readonly signal: AbortSignal;
}

export interface LoadedAnswer {
  readonly answer: CacheEntry;
  /** False: it may be out of date already, or nobody would tell when it is. */
  readonly isShareable: boolean;
}

export interface RedisTierOptions {
  /** Milliseconds of a clock that never jumps. */
  readonly now: () => number;
  /** `error`: what is in the cache is no answer. */
  readonly onOutcome?: (outcome: 'hit' | 'negative' | 'miss' | 'error') => void;
}

/** Longer than a read takes, so that a claim ends by itself only where its process has died. */
const CLAIM_MS = 2000;
/** For what another instance reads, as long as its claim lasts: a database that is slow is not helped by more reads. */
const WAIT_MS = CLAIM_MS;
const FIRST_PAUSE_MS = 2;
const LAST_PAUSE_MS = 40;
