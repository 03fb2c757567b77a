import { type FlightCall, type FlightWork, SingleFlight } from '#src/async/single-flight.ts';
import type { NearCache } from '#src/cache/near-cache.ts';
import type { Snapshot } from '#src/db/snapshot.ts';
import type { CacheEntry, EntryValue } from '#src/posts/cache/cache-entry.ts';
import { type Written, writtenByChanges } from '#src/posts/cache/cache-tags.ts';
import type { RedisTier } from '#src/posts/cache/redis-tier.ts';
import type { StaleIfError } from '#src/posts/cache/stale-if-error.ts';
import { WriteWatermarks } from '#src/posts/cache/write-watermarks.ts';
import type { ChangeFeed } from '#src/posts/feed/change-feed.ts';
import type { DatabaseLife } from '#src/posts/feed/feed-head.ts';
import type { StoreCall } from '#src/posts/post-store.ts';
import { CRITICALITIES, type Criticality, DEFAULT_CRITICALITY } from '#src/resilience/criticality.ts';

/**
 * Answers of a store by key, in this process and, where there is one, in a cache that instances share.
 *
 * An answer is used only if the snapshot that it was read at covers the last writes that are known (WriteWatermarks), and for as long as
 * its time lasts; for longer while the database fails.
 */
export class ReadThroughCache implements Disposable {
  readonly #feed: CacheParts['feed'];
  readonly #near: CacheParts['near'];
  readonly #shared: CacheParts['shared'];
  readonly #outage: StaleIfError;
  readonly #options: CacheOptions;
  /** Answers are kept under posts, and dropped when these are written: so only those that come later need it, and it forgets soon. */
  #postWrites: WriteWatermarks;
  /** No list is dropped. */
  #listWrites: WriteWatermarks;
  /** The age of the oldest answers that may be used for anything. */
  readonly #keepMs: number;
  /** The same of answers that come from elsewhere. */
  readonly #arriveMs: number;
  readonly #fills = new SingleFlight<CacheEntry>();
  readonly #stopListening: () => void;
  /** The last one that was known. */
  #era = 0;
  /** The one before, and what was known of writes then; undefined where changes were missed since. */
  #previous: { readonly era: number; readonly writes: readonly WriteWatermarks[] } | undefined;
  /** From when on own writes may be of an era that is not known yet, on the cache's clock. */
  #unknownSince: number | undefined;

  constructor(parts: CacheParts, options: CacheOptions) {
    this.#feed = parts.feed;
    this.#near = parts.near;
    this.#shared = parts.shared;
    this.#outage = parts.outage;
    this.#options = options;
    const longestTtlMs = Math.max(options.ttlMs, options.listTtlMs, options.negativeTtlMs);
    this.#keepMs = longestTtlMs + options.staleIfErrorMs;
    this.#arriveMs = longestTtlMs + READ_MAX_MS;
    // What a replica answers may lack what was written so long before.
    const lastWrites = (oldestMs: number) =>
      new WriteWatermarks({
        keepMs: oldestMs + options.replicaMaxLagMs,
        maxEntries: LAST_WRITES_MAX,
        now: options.now,
      });
    this.#postWrites = lastWrites(this.#arriveMs);
    this.#listWrites = lastWrites(Math.max(this.#keepMs, this.#arriveMs));
    this.#stopListening = this.#feed.listen({
      onBatch: ({ changes, to }) => {
        this.#noteEra();
        const { posts, lists } = writtenByChanges(changes);
        this.#postWrites.seen(posts, to);
        this.#listWrites.seen(lists, to);
        this.#drop(posts);
      },
      onGap: snapshot => this.#missed(snapshot),
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
    return kept.era === this.#era && this.ageMs(kept) < kept.ttlMs;
  }

  /** What the store answers, and when, at which snapshot and in which era it was read. */
  async load<T>(call: StoreCall, load: (call: StoreCall) => Promise<T>) {
    const { era } = this.#feed;
    const readAt = this.#options.now();
    let snapshot: Snapshot | undefined;
    const value = await load({
      ...call,
      readAt: at => {
        snapshot = at;
      },
    });
    if (snapshot === undefined) throw new Error('the store did not tell the snapshot of its answer');
    return { value, snapshot, readAt, era };
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
  wrote({ posts, lists }: Written, xid: bigint): void {
    this.#noteEra();
    if (this.#feed.era === undefined) this.#unknownSince ??= this.#options.now();
    else this.#unknownSince = undefined;
    this.#postWrites.wrote(posts, xid);
    this.#listWrites.wrote(lists, xid);
    this.#drop(posts);
  }

  /** How long an answer is used, in milliseconds: with jitter, so that what was read together is not read again together. */
  ttlMs(value: EntryValue, ttlMs = this.#options.ttlMs): number {
    const longest = value === undefined ? this.#options.negativeTtlMs : ttlMs;
    return longest * (1 - JITTER * (this.#options.random ?? Math.random)());
  }

  /** Whether an answer that was just read has all that is known to have been written, and all that this call has to see. */
  mayUse(answer: CacheEntry, call: StoreCall | undefined): boolean {
    this.#noteEra();
    if (this.ageMs(answer) >= this.#arriveMs || answer.era !== this.#feed.era) return false;
    return !this.#isIncomparable(call) && this.#isCurrent(answer, call);
  }

  /**
   * While the era is not known, a crash may have ended it, and ids are given out again. Then the snapshot of a read that began before does
   * not tell whether it has what was written since. Who has to see a write begins a read then, and shares none.
   */
  #isIncomparable(call: StoreCall | undefined): boolean {
    return this.#feed.era === undefined && (call?.minTransactions !== undefined || this.#unknownSince !== undefined);
  }

  #usable(key: string, found: CacheEntry | undefined, call: StoreCall | undefined): CacheEntry | undefined {
    this.#noteEra();
    if (found === undefined || call?.fresh) return undefined;
    if (this.ageMs(found) < found.ttlMs + this.#options.staleIfErrorMs)
      return this.#mayServe(found, call) ? found : undefined;
    // Of no use to anybody any more, and no reason to call this instance ready.
    void this.#near.keyv.delete(key);
    return undefined;
  }

  #mayServe(kept: CacheEntry, call: StoreCall | undefined): boolean {
    if (kept.era === this.#feed.era) return this.#isCurrent(kept, call);
    // Whether it has what the call has to see can't be told by a snapshot of another life.
    if (call?.minTransactions !== undefined) return false;
    const { snapshot, dependencies } = kept;
    const isLastKnown = (writes: WriteWatermarks) => writes.isCurrent(snapshot, dependencies);
    const writes = [this.#postWrites, this.#listWrites];
    if (kept.era === this.#era) {
      // The same life may go on when the feed is back; if not, the ids of own writes since then say nothing.
      const since = this.#unknownSince;
      return writes.every(each => isLastKnown(each) && !(since !== undefined && each.hasUntold(dependencies, since)));
    }
    const previous = this.#previous;
    if (previous === undefined || kept.era !== previous.era) return false;
    return previous.writes.every(isLastKnown) && !writes.some(each => each.knows(dependencies));
  }

  #isCurrent({ snapshot, dependencies }: CacheEntry, call: StoreCall | undefined): boolean {
    if (!this.#postWrites.isCurrent(snapshot, dependencies)) return false;
    if (!this.#listWrites.isCurrent(snapshot, dependencies)) return false;
    const minTransactions = call?.minTransactions;
    // What the feed has told of was looked at above, so an answer that is current has it, or does not depend on it.
    return (
      minTransactions === undefined ||
      minTransactions.every(xid => this.#feed.snapshot?.sees(xid) || snapshot.sees(xid))
    );
  }

  /** In a new era nothing is known of writes but its beginning. Nobody tells of what came before, which a replica may lack. */
  #noteEra(): void {
    const { lastEra, snapshot } = this.#feed;
    if (lastEra === this.#era || snapshot === undefined) return;
    const since = this.#unknownSince ?? Number.POSITIVE_INFINITY;
    const writes = [this.#postWrites, this.#listWrites];
    this.#previous = this.#era === lastEra - 1 ? { era: this.#era, writes } : undefined;
    this.#postWrites = this.#postWrites.next(snapshot, since);
    this.#listWrites = this.#listWrites.next(snapshot, since);
    this.#era = lastEra;
    this.#unknownSince = undefined;
  }

  #missed(upTo: Snapshot): void {
    this.#noteEra();
    this.#previous = undefined;
    this.#postWrites.missed(upTo);
    this.#listWrites.missed(upTo);
  }

  async #load<T extends EntryValue>(key: string, call: StoreCall | undefined, look: LookUp<T>): Promise<T> {
    for (let attempt = 0; attempt < SHARED_ATTEMPTS && !this.#isIncomparable(call); attempt++) {
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
    const fill: FlightWork<CacheEntry> = waiting =>
      this.#fill(key, look, { ...waiting, criticality: REFRESH_CRITICALITY });
    const flight = this.#flightOf(key, REFRESH_CRITICALITY);
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
    // Gone at once: Keyv's promises only tell whether something was there.
    for (const key of posts) void this.#near.keyv.delete(key);
    const { life } = this.#feed;
    if (posts.size > 0 && life !== undefined) this.#shared?.delete([...posts].map(key => sharedKey(life, key)));
  }
}

/** Each life of the database has keys of its own: snapshots of others mean nothing, and no clock says which of two is the later one. */
function sharedKey({ name }: DatabaseLife, key: string): string {
  return `${name}:${key}`;
}

/** How a missing answer is had. */
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

export interface CacheOptions {
  /** For how long an answer is used at most, in milliseconds, should nothing be heard of writes; up to a tenth less by chance. */
  readonly ttlMs: number;
  /** The same for the answer that there is no such post. */
  readonly negativeTtlMs: number;
  /** The same for lists, of which some change with the time alone. */
  readonly listTtlMs: number;
  /** For how much longer it is used while the database fails. */
  readonly staleIfErrorMs: number;
  /** How far what answers are read from may be behind, in milliseconds. */
  readonly replicaMaxLagMs: number;
  /** Milliseconds of a clock that never jumps. */
  readonly now: () => number;
  /** From 0 to 1, for the jitter; Math.random where it is not given. */
  readonly random?: () => number;
  readonly onOutcome?: (outcome: CacheOutcome) => void;
}

/** `stale`: served because nothing better was to be had. `coalesced`: a miss that another one's work was shared with. */
export type CacheOutcome = 'hit' | 'negative' | 'miss' | 'coalesced' | 'stale';

type FillCall = Pick<StoreCall, 'minTransactions' | 'fresh' | 'criticality'> & FlightCall;

const LAST_WRITES_MAX = 50_000;
/** What takes longer to read is read once more. */
const READ_MAX_MS = 10_000;
/** Of the time that an answer may be used. */
const REFRESH_AT = 0.8;
const JITTER = 0.1;
/** A write that comes between makes one work useless; after several, each caller is on its own. */
const SHARED_ATTEMPTS = 3;
/** The change feed looks every 100 ms, also where no notification comes. */
const FEED_SILENT_MS = 2000;
/** Whoever asks meanwhile is served from what is kept. */
const REFRESH_CRITICALITY = 'sheddable-plus';
/** As long as a call has by default. */
const REFRESH_TIMEOUT_MS = 10_000;
