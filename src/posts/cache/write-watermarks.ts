import type { Snapshot } from '#src/db/snapshot.ts';

/**
 * The last known writes of everything that entries depend on: posts, slugs, lists. An entry may be used if its snapshot covers them. So the
 * order in which reads and writes end, here or in other processes, does not matter. A read before a write never counts as having it.
 *
 * It is bounded by time, except for own writes that the feed has not delivered, and by number. What it forgets for want of room makes older
 * entries unusable, and never the reverse.
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
  /** Every entry must cover this snapshot, whatever it depends on. */
  #floor: Snapshot | undefined;
  /** Own writes that were forgotten before the feed delivered them. */
  #floorXid = 0n;
  #hasForgotten = false;

  /**
   * @param options.keepMs the greatest age of entries that are checked.
   * @param options.maxEntries each takes about 300 bytes, with the snapshot that two or more share.
   */
  constructor(options: { readonly keepMs: number; readonly maxEntries: number; readonly now: () => number }) {
    this.#keepMs = options.keepMs;
    this.#maxEntries = options.maxEntries;
    this.#now = options.now;
    this.#youngSince = this.#now();
  }

  /** The feed has delivered these writes, which came before this snapshot. */
  seen(dependencies: Iterable<string>, snapshot: Snapshot): void {
    for (const dependency of dependencies) {
      const before = this.#find(dependency);
      const own = before?.own.filter(xid => !snapshot.sees(xid)) ?? NONE;
      const ended = before === undefined || snapshot.hasEnded(before.ended) ? 0n : before.ended;
      this.#young.set(dependency, { snapshot, own, ended, at: this.#now() });
    }
    this.#forget();
  }

  /** A committed transaction of this process has written these. The feed will deliver it too. */
  wrote(dependencies: Iterable<string>, xid: bigint): void {
    for (const dependency of dependencies) {
      const before = this.#find(dependency);
      const { snapshot, own = NONE, ended = 0n } = before ?? {};
      const at = this.#now();
      // Many writes of one list, and nothing from the feed.
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
   * The watermarks of another era, which begins with this snapshot. They have only own writes since `since`, which may have been committed
   * in the new era before it was known.
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

  /** Whether an own write of any of these since then is known that the feed has not delivered. */
  hasUntold(dependencies: readonly string[], since: number): boolean {
    if (this.#floorXid > 0n) return true;
    return dependencies.some(dependency => {
      const last = this.#find(dependency);
      return last !== undefined && last.at >= since && isUnseen(last);
    });
  }

  /** Whether an answer of this snapshot has all known writes. */
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

  /** What must survive when the old generation is dropped. */
  #raiseFloor(oldest: number): void {
    this.#hasForgotten = true;
    for (const [dependency, last] of this.#old) {
      const { snapshot, own, ended, at } = last;
      if (this.#young.has(dependency) || (at < oldest && !this.#isUntold(last))) continue;
      if (snapshot !== undefined && !this.#floor?.covers(snapshot)) this.#floor = snapshot;
      this.#floorXid = [...own, ended, this.#floorXid].reduce(max);
    }
  }

  /** Own writes in the old generation that the feed has not delivered. They are not forgotten for their age. */
  #untold(): [dependency: string, last: LastWrite][] {
    return [...this.#old].filter(([dependency, last]) => this.#isUntold(last) && !this.#young.has(dependency));
  }

  /** Whether there are own writes that neither the feed nor a gap in it has covered. */
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
  /** Transactions that must be seen. */
  readonly own: readonly bigint[];
  /** This transaction, and all with lower ids, must have ended. */
  readonly ended: bigint;
  readonly at: number;
}
