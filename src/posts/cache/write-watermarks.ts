import type { Snapshot } from '#src/db/snapshot.ts';

/**
 * What is known of the last writes of all that cached answers depend on: posts, slugs, lists. An answer may be used if the snapshot that it
 * was read at covers them. So it does not matter in which order reads and writes end, in this process or in others. An answer that was read
 * before a write is never taken for one that has it.
 *
 * Bounded by time, but for own writes that nobody else has told of yet, and by number: what is forgotten for want of room makes older
 * answers unusable, never the other way round.
 */
export class WriteWatermarks {
  /**
   * Two generations, because a hot key that is set again in one Map in the order of age leaves a gap. Look-ups must pass by each gap
   * until the Map is made anew (400 µs a change, measured).
   */
  #young = new Map<string, LastWrite>();
  #old = new Map<string, LastWrite>();
  #youngSince: number;
  readonly #keepMs: number;
  readonly #maxEntries: number;
  readonly #now: () => number;
  /** An answer has to cover this one, whatever it depends on. */
  #floor: Snapshot | undefined;
  /** Own writes that were forgotten before the feed told of them. */
  #floorXid = 0n;
  #hasForgotten = false;

  /**
   * @param options.keepMs the age of the oldest answers that are asked about.
   * @param options.maxEntries of some 300 bytes each, with the snapshot that two or more of them share.
   */
  constructor(options: { readonly keepMs: number; readonly maxEntries: number; readonly now: () => number }) {
    this.#keepMs = options.keepMs;
    this.#maxEntries = options.maxEntries;
    this.#now = options.now;
    this.#youngSince = this.#now();
  }

  /** The feed tells that these were written before this snapshot. */
  seen(dependencies: Iterable<string>, snapshot: Snapshot): void {
    for (const dependency of dependencies) {
      const before = this.#find(dependency);
      const own = before?.own.filter(xid => !snapshot.sees(xid)) ?? NONE;
      const ended = before === undefined || snapshot.hasEnded(before.ended) ? 0n : before.ended;
      this.#young.set(dependency, { snapshot, own, ended, at: this.#now() });
    }
    this.#forget();
  }

  /** A transaction of this process has written these, and was committed. The feed will tell of it too. */
  wrote(dependencies: Iterable<string>, xid: bigint): void {
    for (const dependency of dependencies) {
      const before = this.#find(dependency);
      const { snapshot, own = NONE, ended = 0n } = before ?? {};
      const at = this.#now();
      // Many of one list, and no word from the feed.
      if (own.length < OWN_MAX) this.#young.set(dependency, { snapshot, own: [...own, xid], ended, at });
      else this.#young.set(dependency, { snapshot, own: NONE, ended: [...own, xid, ended].reduce(max), at });
    }
    this.#forget();
  }

  /** Changes were missed: anything may have been written before this snapshot. */
  missed(snapshot: Snapshot): void {
    this.#floor = snapshot;
  }

  /**
   * What is known in another era, which begins with this snapshot: nothing else but own writes from `since` on, which may have been
   * committed in it before it was known.
   */
  next(snapshot: Snapshot, since: number): WriteWatermarks {
    const next = new WriteWatermarks({ keepMs: this.#keepMs, maxEntries: this.#maxEntries, now: this.#now });
    for (const [dependency, last] of [...this.#old, ...this.#young]) {
      if (last.at >= since && isUnseen(last)) next.#young.set(dependency, { ...last, snapshot: undefined });
    }
    next.#floor = snapshot;
    return next;
  }

  /** Whether a write of any of these is known. */
  knows(dependencies: readonly string[]): boolean {
    return this.#hasForgotten || dependencies.some(dependency => this.#find(dependency) !== undefined);
  }

  /** Whether an own write of any of these, from this time on, is known that the feed has not told of. */
  hasUntold(dependencies: readonly string[], since: number): boolean {
    if (this.#floorXid > 0n) return true;
    return dependencies.some(dependency => {
      const last = this.#find(dependency);
      return last !== undefined && last.at >= since && isUnseen(last);
    });
  }

  /** Whether an answer that was read at this snapshot has all that is known to have been written. */
  isCurrent(snapshot: Snapshot, dependencies: readonly string[]): boolean {
    if (this.#floor !== undefined && !snapshot.covers(this.#floor)) return false;
    if (this.#floorXid > 0n && !snapshot.hasEnded(this.#floorXid)) return false;
    for (const dependency of dependencies) {
      const last = this.#find(dependency);
      if (last === undefined) continue;
      if (last.snapshot !== undefined && !snapshot.covers(last.snapshot)) return false;
      if (last.ended > 0n && !snapshot.hasEnded(last.ended)) return false;
      for (const xid of last.own) if (!snapshot.sees(xid)) return false;
    }
    return true;
  }

  #find(dependency: string): LastWrite | undefined {
    return this.#young.get(dependency) ?? this.#old.get(dependency);
  }

  #forget(): void {
    const now = this.#now();
    const areOldTooOld = now - this.#youngSince > this.#keepMs;
    if (this.#young.size < this.#maxEntries / 2 && !areOldTooOld) return;
    if (!areOldTooOld) this.#raiseFloor(now - this.#keepMs);
    const left = areOldTooOld ? this.#untold() : [];
    this.#old = this.#young;
    this.#young = new Map(left);
    this.#youngSince = now;
  }

  /** By what the old generation knows, and nothing else will when it is gone. */
  #raiseFloor(oldest: number): void {
    this.#hasForgotten = true;
    for (const [dependency, last] of this.#old) {
      const { snapshot, own, ended, at } = last;
      if (this.#young.has(dependency) || (at < oldest && !this.#isUntold(last))) continue;
      if (snapshot !== undefined && !this.#floor?.covers(snapshot)) this.#floor = snapshot;
      this.#floorXid = [...own, ended, this.#floorXid].reduce(max);
    }
  }

  /** Own writes in the old generation that nobody else has told of: those are not forgotten for their age. */
  #untold(): [dependency: string, last: LastWrite][] {
    return [...this.#old].filter(([dependency, last]) => this.#isUntold(last) && !this.#young.has(dependency));
  }

  /** Whether there are own writes that neither the feed nor a gap in it has told of. */
  #isUntold({ own, ended }: LastWrite): boolean {
    return ended > 0n || own.some(xid => !this.#floor?.sees(xid));
  }
}

function isUnseen({ own, ended }: LastWrite): boolean {
  return own.length > 0 || ended > 0n;
}

function max(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}

const NONE: readonly bigint[] = [];
const OWN_MAX = 64;

interface LastWrite {
  readonly snapshot: Snapshot | undefined;
  /** Has to be seen. */
  readonly own: readonly bigint[];
  /** Has to have ended, and all with lower ids. */
  readonly ended: bigint;
  readonly at: number;
}
