import type { Snapshot } from '#src/db/snapshot.ts';
import type { CacheEntry } from '#src/posts/cache/cache-entry.ts';
import type { Written } from '#src/posts/cache/cache-tags.ts';
import { WriteWatermarks } from '#src/posts/cache/write-watermarks.ts';
import type { ChangeFeed } from '#src/posts/feed/change-feed.ts';
import type { StoreCall } from '#src/posts/post-store.ts';

/**
 * Knows the last writes of posts and lists in the feed's era, and so which answers have them. An answer may be used only if the snapshot that
 * it was read at covers the last known writes of all that it depends on.
 */
export class Coherence {
  readonly #feed: Pick<ChangeFeed, 'snapshot' | 'era' | 'lastEra'>;
  readonly #options: CoherenceOptions;
  /** Entries are kept under posts, and dropped when these are written. So only answers that arrive later are compared, and it forgets soon. */
  #postWrites: WriteWatermarks;
  /** Lists are not dropped. */
  #listWrites: WriteWatermarks;
  /** An answer that arrives must be younger than this, in milliseconds. */
  readonly #arriveMs: number;
  #era = 0;
  /** The era before, and the writes that were known then; undefined if changes were missed since. */
  #previous: { readonly era: number; readonly writes: readonly WriteWatermarks[] } | undefined;
  /** Own writes since then may be of an era that is not known yet. On the cache's clock. */
  #unknownSince: number | undefined;

  constructor(feed: Pick<ChangeFeed, 'snapshot' | 'era' | 'lastEra'>, options: CoherenceOptions) {
    this.#feed = feed;
    this.#options = options;
    const longestTtlMs = Math.max(options.ttlMs, options.listTtlMs, options.negativeTtlMs);
    this.#arriveMs = longestTtlMs + READ_MAX_MS;
    // An answer of a replica may lack the writes of its lag.
    const watermarks = (oldestMs: number) =>
      new WriteWatermarks({ keepMs: oldestMs + options.replicaMaxLagMs, maxEntries: WRITES_MAX, now: options.now });
    this.#postWrites = watermarks(this.#arriveMs);
    this.#listWrites = watermarks(Math.max(longestTtlMs + options.staleIfErrorMs, this.#arriveMs));
  }

  /** The last era that the cache has noted. */
  get era(): number {
    return this.#era;
  }

  /** The feed has read these writes, all of them seen by this snapshot. */
  observed({ posts, lists }: Written, to: Snapshot): void {
    this.#noteEra();
    this.#postWrites.seen(posts, to);
    this.#listWrites.seen(lists, to);
  }

  /** This process has committed this write. The feed will read it too. */
  wrote({ posts, lists }: Written, xid: bigint): void {
    this.#noteEra();
    if (this.#feed.era === undefined) this.#unknownSince ??= this.#options.now();
    else this.#unknownSince = undefined;
    this.#postWrites.wrote(posts, xid);
    this.#listWrites.wrote(lists, xid);
  }

  /** The feed has missed changes: anything may have been written before this snapshot. */
  missed(upTo: Snapshot): void {
    this.#noteEra();
    this.#previous = undefined;
    this.#postWrites.missed(upTo);
    this.#listWrites.missed(upTo);
  }

  /** Whether an answer that was just read has all known writes, and all that the call must see. */
  mayUse(answer: CacheEntry, call: StoreCall | undefined): boolean {
    this.#noteEra();
    if (this.#options.now() - answer.readAt >= this.#arriveMs || answer.era !== this.#feed.era) return false;
    return !this.isIncomparable(call) && this.#isCurrent(answer, call);
  }

  /**
   * While the era is unknown, a crash may have ended it, and ids are given out again. Then the snapshot of an earlier read does not tell whether
   * it has what was written since. A call that must see a write then reads by itself.
   */
  isIncomparable(call: StoreCall | undefined): boolean {
    return this.#feed.era === undefined && (call?.minTransactions !== undefined || this.#unknownSince !== undefined);
  }

  /** Whether an entry may serve, by what is known of writes; its age aside. */
  mayServe(kept: CacheEntry, call: StoreCall | undefined): boolean {
    this.#noteEra();
    if (kept.era === this.#feed.era) return this.#isCurrent(kept, call);
    // A snapshot of another life cannot tell whether it has what the call must see.
    if (call?.minTransactions !== undefined) return false;
    const { snapshot, dependencies } = kept;
    const isLastKnown = (writes: WriteWatermarks) => writes.isCurrent(snapshot, dependencies);
    const writes = [this.#postWrites, this.#listWrites];
    if (kept.era === this.#era) {
      // The same life may go on when the feed is back. If not, the ids of own writes since then say nothing.
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
    // The watermarks above have what the feed has read. So a current answer has it, or does not depend on it.
    return (
      minTransactions === undefined ||
      minTransactions.every(xid => this.#feed.snapshot?.sees(xid) || snapshot.sees(xid))
    );
  }

  /** In a new era only its beginning is known of writes. Nobody reports what came before, which a replica may lack. */
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
}

/** Times are in milliseconds. */
export interface CoherenceOptions {
  /** How long an answer is used at most; up to a tenth less by chance. It matters only where nothing is heard of writes. */
  readonly ttlMs: number;
  /** The same for the answer that a post does not exist. */
  readonly negativeTtlMs: number;
  /** The same for lists, of which some change with time alone. */
  readonly listTtlMs: number;
  /** How much longer an answer is used while the database fails. */
  readonly staleIfErrorMs: number;
  /** How far a replica may be behind. */
  readonly replicaMaxLagMs: number;
  /** A monotonic clock. */
  readonly now: () => number;
}

const WRITES_MAX = 50_000;
/** An answer that took longer to read is read once more. */
const READ_MAX_MS = 10_000;
