import type { NearCache } from '#src/cache/near-cache.ts';
import { type FlightCall, type FlightWork, SingleFlight } from '#src/cache/single-flight.ts';
import type { Snapshot } from '#src/db/snapshot.ts';
import type { AnswerValue, CachedAnswer } from '#src/posts/cached-answer.ts';
import type { ChangeFeed } from '#src/posts/change-feed.ts';
import type { DatabaseOutage } from '#src/posts/database-outage.ts';
import { LastWrites } from '#src/posts/last-writes.ts';
import { type Written, writtenByChanges } from '#src/posts/post-dependencies.ts';
import type { StoreCall } from '#src/posts/post-store.ts';
import { readStore } from '#src/posts/read-store.ts';
import type { SharedAnswers } from '#src/posts/shared-answers.ts';
import { CRITICALITIES, type Criticality, DEFAULT_CRITICALITY } from '#src/resilience/criticality.ts';

/**
 * Answers of a store by key, in this process and, where there is one, in a cache that instances share.
 *
 * An answer is used only if the snapshot that it was read at covers the last writes that are known (LastWrites), and for as long as
 * its time lasts; for longer while the database fails.
 */
export class AnswerCache implements Disposable {
  readonly #feed: CacheParts['feed'];
  readonly #near: CacheParts['near'];
  readonly #shared: CacheParts['shared'];
  readonly #outage: DatabaseOutage;
  readonly #options: CacheOptions;
  /** Answers are kept under posts, and dropped when these are written: so only those that come later need it, and it forgets soon. */
  readonly #postWrites: LastWrites;
  /** No list is dropped. */
  readonly #listWrites: LastWrites;
  /** The age of the oldest answers that may be used for anything. */
  readonly #keepMs: number;
  /** The same of answers that come from elsewhere. */
  readonly #arriveMs: number;
  readonly #fills = new SingleFlight<CachedAnswer>();
  readonly #stopListening: () => void;
  #hasBegun = false;

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
      new LastWrites({ keepMs: oldestMs + options.replicaMaxLagMs, maxEntries: LAST_WRITES_MAX, now: options.now });
    this.#postWrites = lastWrites(this.#arriveMs);
    this.#listWrites = lastWrites(Math.max(this.#keepMs, this.#arriveMs));
    this.#stopListening = this.#feed.listen({
      onBatch: ({ changes, to }) => {
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
  async read<T extends AnswerValue>(key: string, call: StoreCall | undefined, look: LookUp<T>): Promise<T> {
    const kept = this.find(key, call) as CachedAnswer<T> | undefined;
    const ageMs = kept === undefined ? 0 : this.ageMs(kept);
    if (kept !== undefined && ageMs < kept.ttlMs) {
      // Before its time is over, so that nobody has to wait for what is asked for all the time.
      if (ageMs >= kept.ttlMs * REFRESH_AT) this.#refreshSoon(key, look);
      this.served(kept, ageMs, call);
      return kept.value;
    }
    this.missed();
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

  /** What is kept and has all that this call has to see; beyond its time it may serve only while the database fails. */
  find(key: string, call: StoreCall | undefined): CachedAnswer | undefined {
    this.#noteBeginning();
    const kept = this.#near.get(key);
    return kept !== undefined && this.#mayUse(kept, call, this.#keepMs) ? kept : undefined;
  }

  /** In milliseconds. */
  ageMs({ readAt }: CachedAnswer): number {
    return this.#options.now() - readAt;
  }

  /** Counts an answer that serves within its time; where nothing is heard of changes, the call is told that it may be old. */
  served({ value }: CachedAnswer, ageMs: number, call: StoreCall | undefined): void {
    if (this.#feed.lagMs > FEED_SILENT_MS) this.servedStale(ageMs, call);
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
  keep(key: string, answer: CachedAnswer): void {
    // Before the feed is there, nobody tells of later writes.
    if (this.#feed.snapshot === undefined || !this.mayUse(answer, undefined)) return;
    const before = this.#near.get(key);
    if (before !== undefined && !answer.snapshot.covers(before.snapshot)) return;
    this.#near.set(key, answer, answer.ttlMs + this.#options.staleIfErrorMs);
  }

  /** This process has written these, and the write is committed. */
  wrote({ posts, lists }: Written, xid: bigint): void {
    this.#postWrites.wrote(posts, xid);
    this.#listWrites.wrote(lists, xid);
    this.#drop(posts);
  }

  /** How long an answer is used, in milliseconds: with jitter, so that what was read together is not read again together. */
  ttlMs(value: AnswerValue, ttlMs = this.#options.ttlMs): number {
    const longest = value === undefined ? this.#options.negativeTtlMs : ttlMs;
    return longest * (1 - JITTER * (this.#options.random ?? Math.random)());
  }

  /** Whether an answer that was just read has all that is known to have been written, and all that this call has to see. */
  mayUse(answer: CachedAnswer, call: StoreCall | undefined): boolean {
    return this.#mayUse(answer, call, this.#arriveMs);
  }

  #mayUse(answer: CachedAnswer, call: StoreCall | undefined, maxAgeMs: number): boolean {
    const { snapshot, dependencies } = answer;
    this.#noteBeginning();
    if (this.ageMs(answer) >= maxAgeMs) return false;
    if (!this.#postWrites.isCurrent(snapshot, dependencies)) return false;
    if (!this.#listWrites.isCurrent(snapshot, dependencies)) return false;
    const mustSee = call?.mustSee;
    // What the feed has told of was looked at above, so an answer that is current has it, or does not depend on it.
    return mustSee === undefined || mustSee.every(xid => this.#feed.snapshot?.sees(xid) || snapshot.sees(xid));
  }

  /** Nobody tells of what was written before the feed began, which a replica may lack. */
  #noteBeginning(): void {
    if (this.#hasBegun || this.#feed.snapshot === undefined) return;
    this.#missed(this.#feed.snapshot);
    this.#hasBegun = true;
  }

  #missed(upTo: Snapshot): void {
    this.#postWrites.missed(upTo);
    this.#listWrites.missed(upTo);
  }

  async #load<T extends AnswerValue>(key: string, call: StoreCall | undefined, look: LookUp<T>): Promise<T> {
    for (let attempt = 0; attempt < SHARED_ATTEMPTS; attempt++) {
      const flight = this.#flightOf(key, call?.criticality);
      if (this.#fills.has(flight)) this.#options.onOutcome?.('coalesced');
      // What was read first may come from a replica that lacks a write.
      const fresh = attempt > 0;
      const { mustSee, criticality } = call ?? {};
      const fill: FlightWork<CachedAnswer> = waiting =>
        this.#fill(key, look, { ...waiting, mustSee, criticality, fresh });
      const answer = await this.#fills.run(flight, fill, call);
      if (this.mayUse(answer, call)) return answer.value as T;
    }
    return look.load({ signal: call?.signal, deadline: call?.deadline, criticality: call?.criticality, fresh: true });
  }

  /** Goes on when its caller has left, though not for ever. */
  #refresh<T extends AnswerValue>(key: string, look: LookUp<T>): Promise<CachedAnswer> {
    const fill: FlightWork<CachedAnswer> = waiting =>
      this.#fill(key, look, { ...waiting, criticality: REFRESH_CRITICALITY });
    const flight = this.#flightOf(key, REFRESH_CRITICALITY);
    return this.#fills.run(flight, fill, { signal: AbortSignal.timeout(REFRESH_TIMEOUT_MS) });
  }

  /** The work to share: of those under way, the most critical; of its own criticality, where all others matter less and may be refused. */
  #flightOf(key: string, criticality: Criticality = DEFAULT_CRITICALITY): string {
    const joined = CRITICALITIES.find(level => level === criticality || this.#fills.has(`${level} ${key}`));
    return `${joined} ${key}`;
  }

  #refreshSoon<T extends AnswerValue>(key: string, look: LookUp<T>): void {
    if (this.#fills.has(this.#flightOf(key, REFRESH_CRITICALITY)) || !this.#outage.mayTry()) return;
    this.#refresh(key, look).catch(error => this.#outage.failed(error));
  }

  async #fill<T extends AnswerValue>(key: string, look: LookUp<T>, call: FillCall): Promise<CachedAnswer> {
    const load = async () => {
      const isKnown = this.#feed.snapshot !== undefined;
      const { value, ...read } = await readStore(call, look.load, this.#options.now);
      this.#outage.ended();
      const answer = { ...read, value, ttlMs: this.ttlMs(value, look.ttlMs), dependencies: look.dependencies(value) };
      return { answer, isShareable: isKnown && this.mayUse(answer, undefined) };
    };
    const isUsable = (answer: CachedAnswer) =>
      this.mayUse(answer, call) && this.ageMs(answer) < answer.ttlMs * REFRESH_AT;
    const { answer, isShareable } =
      this.#shared === undefined ? await load() : await this.#shared.fill(key, { load, isUsable, signal: call.signal });
    if (isShareable) this.keep(key, answer);
    return answer;
  }

  /** Since these writes are forgotten sooner than what is kept grows too old, nothing may be left under them. */
  #drop(posts: ReadonlySet<string>): void {
    for (const key of posts) this.#near.delete(key);
    if (posts.size > 0) this.#shared?.delete([...posts]);
  }
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
  readonly feed: Pick<ChangeFeed, 'snapshot' | 'lagMs' | 'listen'>;
  readonly near: Pick<NearCache<CachedAnswer>, 'get' | 'set' | 'delete'>;
  readonly shared: Pick<SharedAnswers, 'fill' | 'delete'> | undefined;
  readonly outage: DatabaseOutage;
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

type FillCall = Pick<StoreCall, 'mustSee' | 'fresh' | 'criticality'> & FlightCall;

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
