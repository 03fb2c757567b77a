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

  /** From what is kept, or from a work that is under way for another caller, or from a work of its own. */
  async read<T extends EntryValue>(key: string, call: StoreCall | undefined, look: LookUp<T>): Promise<T> {
    const { keyv, peek } = this.#near;
    const found = peek === undefined ? await keyv.get<CacheEntry>(key) : peek(key);
    const kept = this.#usable(key, found, call) as CacheEntry<T> | undefined;
    const ageMs = kept === undefined ? 0 : this.ageMs(kept);
    if (kept !== undefined && this.isFresh(kept)) {
      // Before its time is over, so that nobody has to wait for what is asked for all the time.
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

  /** What is kept and has all that this call has to see; unless it is fresh, it may serve only while the database fails. */
  async find(key: string, call: StoreCall | undefined): Promise<CacheEntry | undefined> {
    return this.#usable(key, await this.#near.keyv.get<CacheEntry>(key), call);
  }

  /** Whether it may serve without a look into the database. */
  isFresh(kept: CacheEntry): boolean {
    return kept.era === this.#coherence.era && this.ageMs(kept) < kept.ttlMs;
  }

  /** What the store answers, and when, at which snapshot and in which era it was read. */
  load<T>(call: StoreCall, load: (call: StoreCall) => Promise<T>) {
    return readWithSnapshot(this.#feed.era, this.#options.now, call, load);
  }

  /** In milliseconds. */
  ageMs({ readAt }: CacheEntry): number {
    return this.#options.now() - readAt;
  }

  /** Counts an answer that serves within its time; where nothing is heard of changes, the call is told that it may be old. */
  served({ value }: CacheEntry, ageMs: number, call: StoreCall | undefined): void {
    if (this.#feed.era === undefined || this.#feed.lagMs > FEED_SILENT_MS) this.servedStale(ageMs, call);
    else this.#options.onOutcome?.(value === undefined ? 'negative' : 'hit');
  }

  /** Counts an answer that serves because nothing better is to be had, and tells the call. */
  servedStale(ageMs: number, call: StoreCall | undefined): void {
    this.#options.onOutcome?.('stale');
    call?.servedStale?.(ageMs);
  }

  missed(): void {
    this.#options.onOutcome?.('miss');
  }

  /** Keeps what was read, unless it is known to be useless, or something later is kept. */
  async keep(key: string, answer: CacheEntry): Promise<void> {
    // Before the feed is there, nobody tells of later writes.
    if (this.#feed.era === undefined || !this.mayUse(answer, undefined)) return;
    const { keyv } = this.#near;
    const before = await keyv.get<CacheEntry>(key);
    if (before?.era === answer.era && before !== undefined && !answer.snapshot.covers(before.snapshot)) return;
    await keyv.set(key, answer);
    // A write that came meanwhile has dropped what was there before.
    if (!this.mayUse(answer, undefined)) await keyv.delete(key);
  }

  /** This process has written these, and the write is committed. */
  wrote(written: Written, xid: bigint): void {
    this.#coherence.wrote(written, xid);
    this.#drop(written.posts);
  }

  /** How long an answer is used, in milliseconds: with jitter, so that what was read together is not read again together. */
  ttlMs(value: EntryValue, ttlMs = this.#options.ttlMs): number {
    const longest = value === undefined ? this.#options.negativeTtlMs : ttlMs;
    return longest * (1 - JITTER * (this.#options.random ?? Math.random)());
  }

  /** Whether an answer that was just read has all that is known to have been written, and all that this call has to see. */
  mayUse(answer: CacheEntry, call: StoreCall | undefined): boolean {
    return this.#coherence.mayUse(answer, call);
  }

  #usable(key: string, found: CacheEntry | undefined, call: StoreCall | undefined): CacheEntry | undefined {
    if (found === undefined || call?.fresh) return undefined;
    if (this.ageMs(found) < found.ttlMs + this.#options.staleIfErrorMs)
      return this.#coherence.mayServe(found, call) ? found : undefined;
    // Of no use to anybody any more, and no reason to call this instance ready.
    void this.#near.keyv.delete(key);
    return undefined;
  }

  async #load<T extends EntryValue>(key: string, call: StoreCall | undefined, look: LookUp<T>): Promise<T> {
    for (let attempt = 0; attempt < SHARED_ATTEMPTS && !this.#coherence.isIncomparable(call); attempt++) {
      const flight = this.#flightOf(key, call?.criticality);
      if (this.#fills.has(flight)) this.#options.onOutcome?.('coalesced');
      // What was read first may come from a replica that lacks a write.
      const fresh = attempt > 0;
      const { minTransactions, criticality } = call ?? {};
      const fill: FlightWork<CacheEntry> = waiting =>
        this.#fill(key, look, { ...waiting, minTransactions, criticality, fresh });
      const answer = await this.#fills.run(flight, fill, call);
      if (this.mayUse(answer, call)) return answer.value as T;
    }
    return look.load({ signal: call?.signal, deadline: call?.deadline, criticality: call?.criticality, fresh: true });
  }

  /** Goes on when its caller has left, though not for ever. */
  #refresh<T extends EntryValue>(key: string, look: LookUp<T>): Promise<CacheEntry> {
    const criticality = REFRESH_CRITICALITY;
    const fill: FlightWork<CacheEntry> = waiting => this.#fill(key, look, { ...waiting, criticality });
    const flight = this.#flightOf(key, criticality);
    return this.#fills.run(flight, fill, { signal: AbortSignal.timeout(REFRESH_TIMEOUT_MS) });
  }

  /** The work to share: of those under way, the most critical; of its own criticality, where all others matter less and may be refused. */
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

  /** Since these writes are forgotten sooner than what is kept grows too old, nothing may be left under them. */
  #drop(posts: ReadonlySet<string>): void {
    // Keyv deletes at once: its promise only tells whether an entry existed.
    for (const key of posts) void this.#near.keyv.delete(key);
    const { life } = this.#feed;
    if (posts.size > 0 && life !== undefined) this.#shared?.delete([...posts].map(key => sharedKey(life, key)));
  }
}

/** Each life of the database has keys of its own: snapshots of others mean nothing, and no clock says which of two is the later one. */
function sharedKey({ name }: DatabaseLife, key: string): string {
  return `${name}:${key}`;
}

/** How a missing answer is read. */
export interface LookUp<T> {
  readonly load: (call: StoreCall) => Promise<T>;
  readonly dependencies: (value: T) => readonly string[];
  /** How long it is used, in milliseconds; undefined: as long as any. */
  readonly ttlMs?: number;
}

/** What the cache is made of. */
export interface CacheParts {
  readonly feed: Pick<ChangeFeed, 'snapshot' | 'era' | 'lastEra' | 'life' | 'lagMs' | 'listen'>;
  readonly near: NearCache<CacheEntry>;
  readonly shared: Pick<RedisTier, 'fill' | 'delete'> | undefined;
  readonly outage: StaleIfError;
}

export interface CacheOptions extends CoherenceOptions {
  /** From 0 to 1, for the jitter; Math.random where it is not given. */
  readonly random?: () => number;
  readonly onOutcome?: (outcome: CacheOutcome) => void;
}

/** `stale`: served because nothing better was to be had. `coalesced`: a miss that another one's work was shared with. */
export type CacheOutcome = 'hit' | 'negative' | 'miss' | 'coalesced' | 'stale';

type FillCall = Pick<StoreCall, 'minTransactions' | 'fresh' | 'criticality'> & FlightCall;

/** Of the time that an answer may be used. */
const REFRESH_AT = 0.8;
const JITTER = 0.1;
/** A write that comes between makes one work useless; after several, each caller is on its own. */
const SHARED_ATTEMPTS = 3;
/** The feed polls every 100 ms. */
const FEED_SILENT_MS = 2000;
/** Whoever asks meanwhile is served from what is kept. */
const REFRESH_CRITICALITY = 'sheddable-plus';
/** As long as a call has by default. */
const REFRESH_TIMEOUT_MS = 10_000;
