import { type FlightCall, type FlightWork, SingleFlight } from '#src/async/single-flight.ts';
import type { NearCache } from '#src/cache/sieve-store.ts';
import { type CacheEntry, type EntryValue, readWithSnapshot } from '#src/posts/cache/cache-entry.ts';
import { type Written, writtenByChanges } from '#src/posts/cache/cache-tags.ts';
import { Coherence, type CoherenceOptions } from '#src/posts/cache/coherence.ts';
import type { RedisTier } from '#src/posts/cache/redis-tier.ts';
import type { StaleIfError } from '#src/posts/cache/stale-if-error.ts';
import type { ChangeFeed } from '#src/posts/feed/change-feed.ts';
import type { DatabaseLife } from '#src/posts/feed/feed-head.ts';
import type { StoreCall } from '#src/posts/post-store.ts';
import { CRITICALITIES, type Criticality, DEFAULT_CRITICALITY } from '#src/resilience/criticality.ts';

/**
 * Answers of a store by key, in this process and, if configured, in Redis, which instances share.
 *
 * An answer is used until its time is over, or for longer while the database fails, and only if it has all known writes (Coherence).
 */
export class ReadThroughCache implements Disposable {
  readonly #feed: CacheParts['feed'];
  readonly #near: CacheParts['near'];
  readonly #shared: CacheParts['shared'];
  readonly #outage: StaleIfError;
  readonly #options: CacheOptions;
  readonly #coherence: Coherence;
  readonly #fills = new SingleFlight<CacheEntry>();
  readonly #stopListening: () => void;
  constructor(parts: CacheParts, options: CacheOptions) {
    this.#feed = parts.feed;
    this.#near = parts.near;
    this.#shared = parts.shared;
    this.#outage = parts.outage;
    this.#options = options;
    this.#coherence = new Coherence(parts.feed, options);
    this.#stopListening = this.#feed.listen({
      onBatch: ({ changes, to }) => {
        const written = writtenByChanges(changes);
        this.#coherence.observed(written, to);
        this.#drop(written.posts);
      },
      onGap: snapshot => this.#coherence.missed(snapshot),
    });
  }

  [Symbol.dispose](): void {
    this.#stopListening();
  }

  /** Returns an entry, or joins the read of another caller, or reads. */
  async read<T extends EntryValue>(key: string, call: StoreCall | undefined, look: LookUp<T>): Promise<T> {
    const { keyv, peek } = this.#near;
    const found = peek === undefined ? await keyv.get<CacheEntry>(key) : peek(key);
    const kept = this.#usable(key, found, call) as CacheEntry<T> | undefined;
    const ageMs = kept === undefined ? 0 : this.ageMs(kept);
    if (kept !== undefined && this.isFresh(kept)) {
      // Before its time is over, so that no caller waits for a popular answer.
      if (ageMs >= kept.ttlMs * REFRESH_AT) this.#refreshSoon(key, look);
      this.served(kept, ageMs, call);
      return kept.value;
    }
    this.missed();
    if (call?.fresh) return look.load({ signal: call.signal, criticality: call.criticality, fresh: true });
    if (kept !== undefined) {
      const loaded = await this.#outage.unlessItFails(() => this.#refresh(key, look), call?.signal);
      if (loaded === undefined) {
        this.servedStale(ageMs, call);
        return kept.value;
      }
      if (this.mayUse(loaded, call)) return loaded.value as T;
    }
    return this.#load(key, call, look);
  }

  /** The entry that has everything this call must see. If it is not fresh, it may serve only while the database fails. */
  async find(key: string, call: StoreCall | undefined): Promise<CacheEntry | undefined> {
    return this.#usable(key, await this.#near.keyv.get<CacheEntry>(key), call);
  }

  /** Whether an entry may serve without a read. */
  isFresh(kept: CacheEntry): boolean {
    return kept.era === this.#coherence.era && this.ageMs(kept) < kept.ttlMs;
  }

  /** Reads from the store, and adds when, at which snapshot and in which era. */
  load<T>(call: StoreCall, load: (call: StoreCall) => Promise<T>) {
    return readWithSnapshot(this.#feed.era, this.#options.now, call, load);
  }

  /** The age of an entry in milliseconds. */
  ageMs({ readAt }: CacheEntry): number {
    return this.#options.now() - readAt;
  }

  /** Counts an answer within its time. If the feed is silent, the call is told that it may be stale. */
  served({ value }: CacheEntry, ageMs: number, call: StoreCall | undefined): void {
    if (this.#feed.era === undefined || this.#feed.lagMs > FEED_SILENT_MS) this.servedStale(ageMs, call);
    else this.#options.onOutcome?.(value === undefined ? 'negative' : 'hit');
  }

  /** Counts a stale answer, and tells the call. */
  servedStale(ageMs: number, call: StoreCall | undefined): void {
    this.#options.onOutcome?.('stale');
    call?.servedStale?.(ageMs);
  }

  missed(): void {
    this.#options.onOutcome?.('miss');
  }

  /** Keeps an answer, unless it is known to be useless, or a later one is kept. */
  async keep(key: string, answer: CacheEntry): Promise<void> {
    // Without the feed, later writes would not be noticed.
    if (this.#feed.era === undefined || !this.mayUse(answer, undefined)) return;
    const { keyv } = this.#near;
    const before = await keyv.get<CacheEntry>(key);
    if (before?.era === answer.era && before !== undefined && !answer.snapshot.covers(before.snapshot)) return;
    await keyv.set(key, answer);
    // A write during the set has dropped only the earlier entry.
    if (!this.mayUse(answer, undefined)) await keyv.delete(key);
  }

  /** This process has committed this write. */
  wrote(written: Written, xid: bigint): void {
    this.#coherence.wrote(written, xid);
    this.#drop(written.posts);
  }

  /** How long an answer is used, in milliseconds, with jitter, so that answers that were read together do not expire together. */
  ttlMs(value: EntryValue, ttlMs = this.#options.ttlMs): number {
    const longest = value === undefined ? this.#options.negativeTtlMs : ttlMs;
    return longest * (1 - JITTER * (this.#options.random ?? Math.random)());
  }

  /** Whether an answer that was just read has all known writes, and all that this call must see. */
  mayUse(answer: CacheEntry, call: StoreCall | undefined): boolean {
    return this.#coherence.mayUse(answer, call);
  }

  #usable(key: string, found: CacheEntry | undefined, call: StoreCall | undefined): CacheEntry | undefined {
    if (found === undefined || call?.fresh) return undefined;
    if (this.ageMs(found) < found.ttlMs + this.#options.staleIfErrorMs)
      return this.#coherence.mayServe(found, call) ? found : undefined;
    // It is useless now, and must not count for readiness.
    void this.#near.keyv.delete(key);
    return undefined;
  }

  async #load<T extends EntryValue>(key: string, call: StoreCall | undefined, look: LookUp<T>): Promise<T> {
    for (let attempt = 0; attempt < SHARED_ATTEMPTS && !this.#coherence.isIncomparable(call); attempt++) {
      const flight = this.#flightOf(key, call?.criticality);
      if (this.#fills.has(flight)) this.#options.onOutcome?.('coalesced');
      // The first read may be of a replica that lacks a write.
      const fresh = attempt > 0;
      const { minTransactions, criticality } = call ?? {};
      const fill: FlightWork<CacheEntry> = waiting =>
        this.#fill(key, look, { ...waiting, minTransactions, criticality, fresh });
      const answer = await this.#fills.run(flight, fill, call);
      if (this.mayUse(answer, call)) return answer.value as T;
    }
    return look.load({ signal: call?.signal, deadline: call?.deadline, criticality: call?.criticality, fresh: true });
  }

  /** Continues when its caller has left, up to a time limit. */
  #refresh<T extends EntryValue>(key: string, look: LookUp<T>): Promise<CacheEntry> {
    const criticality = REFRESH_CRITICALITY;
    const fill: FlightWork<CacheEntry> = waiting => this.#fill(key, look, { ...waiting, criticality });
    const flight = this.#flightOf(key, criticality);
    return this.#fills.run(flight, fill, { signal: AbortSignal.timeout(REFRESH_TIMEOUT_MS) });
  }

  /** The read to join: the most critical running one, or one of the call's own criticality if all others are less critical. */
  #flightOf(key: string, criticality: Criticality = DEFAULT_CRITICALITY): string {
    const joined = CRITICALITIES.find(level => level === criticality || this.#fills.has(`${level} ${key}`));
    return `${joined} ${key}`;
  }

  #refreshSoon<T extends EntryValue>(key: string, look: LookUp<T>): void {
    if (this.#fills.has(this.#flightOf(key, REFRESH_CRITICALITY)) || !this.#outage.mayTry()) return;
    this.#refresh(key, look).catch(error => this.#outage.failed(error));
  }

  async #fill<T extends EntryValue>(key: string, look: LookUp<T>, call: FillCall): Promise<CacheEntry> {
    const { era, life } = this.#feed;
    const load = async () => {
      const { value, ...read } = await this.load(call, look.load);
      this.#outage.ended();
      const answer = { ...read, value, ttlMs: this.ttlMs(value, look.ttlMs), dependencies: look.dependencies(value) };
      return { answer, isShareable: answer.era !== undefined && this.mayUse(answer, undefined) };
    };
    const isUsable = (answer: CacheEntry) =>
      this.mayUse(answer, call) && this.ageMs(answer) < answer.ttlMs * REFRESH_AT;
    const { answer, isShareable } =
      this.#shared === undefined || era === undefined || life === undefined
        ? await load()
        : await this.#shared.fill(sharedKey(life, key), { load, isUsable, era, signal: call.signal });
    if (isShareable) await this.keep(key, answer);
    return answer;
  }

  /** Drops the entries of written posts. Their watermarks are forgotten sooner than entries expire, so none may remain. */
  #drop(posts: ReadonlySet<string>): void {
    // Keyv deletes at once: its promise only tells whether an entry existed.
    for (const key of posts) void this.#near.keyv.delete(key);
    const { life } = this.#feed;
    if (posts.size > 0 && life !== undefined) this.#shared?.delete([...posts].map(key => sharedKey(life, key)));
  }
}

/** Each life of the database has its own keys. Snapshots of other lives mean nothing, and no clock tells which life is later. */
function sharedKey({ name }: DatabaseLife, key: string): string {
  return `${name}:${key}`;
}

/** How a missing answer is read. */
export interface LookUp<T> {
  readonly load: (call: StoreCall) => Promise<T>;
  readonly dependencies: (value: T) => readonly string[];
  /** How long it is used, in milliseconds; undefined: the default. */
  readonly ttlMs?: number;
}

/** The parts of the cache. */
export interface CacheParts {
  readonly feed: Pick<ChangeFeed, 'snapshot' | 'era' | 'lastEra' | 'life' | 'lagMs' | 'listen'>;
  readonly near: NearCache<CacheEntry>;
  readonly shared: Pick<RedisTier, 'fill' | 'delete'> | undefined;
  readonly outage: StaleIfError;
}

export interface CacheOptions extends CoherenceOptions {
  /** From 0 to 1, for the jitter. Default: Math.random. */
  readonly random?: () => number;
  readonly onOutcome?: (outcome: CacheOutcome) => void;
}

/** `stale`: served for want of a better answer. `coalesced`: a miss that joined another caller's read. */
export type CacheOutcome = 'hit' | 'negative' | 'miss' | 'coalesced' | 'stale';

type FillCall = Pick<StoreCall, 'minTransactions' | 'fresh' | 'criticality'> & FlightCall;

/** The share of an answer's time after which it is refreshed. */
const REFRESH_AT = 0.8;
const JITTER = 0.1;
/** A concurrent write makes one read useless. After several, each caller reads by itself. */
const SHARED_ATTEMPTS = 3;
/** The feed polls every 100 ms. */
const FEED_SILENT_MS = 2000;
/** Callers are served from the cache meanwhile. */
const REFRESH_CRITICALITY = 'sheddable-plus';
/** The default deadline of a call. */
const REFRESH_TIMEOUT_MS = 10_000;
