import type { Snapshot } from '#src/db/snapshot.ts';
import type { PlaceProof } from '#src/posts/feed/place-proof.ts';
import { type ChangeFilter, isWanted, type PostChange, type PostChangeBatch } from '#src/posts/feed/post-change.ts';
import type { PostChangePosition } from '#src/posts/feed/post-change-position.ts';

/**
 * The latest changes of the feed, complete from some position on. Watchers that resume within them need no database.
 *
 * It returns what `readPostChanges` would, or nothing. A position within it is proved: it was read in the history that the feed follows,
 * and the feed proves that at each reading.
 */
export class RecentChanges {
  readonly #max: number;
  /** Everything that was seen after this snapshot and up to `#end` is here. */
  #start: PostChangePosition | undefined;
  #end: PostChangePosition | undefined;
  /** The life in which `#end` was last proved. */
  #life = '';
  #groups: Group[] = [];
  /** The parts so far of a batch that comes in parts. */
  #parts: PostChange[] = [];
  readonly #digests = new Map<bigint, string>();
  readonly #transactions = new Map<bigint, number>();

  /** @param max the most changes. Beyond it, the oldest batches are dropped. */
  constructor(max: number) {
    this.#max = max;
  }

  /** The position from which all changes are here; undefined: none are. */
  get start(): PostChangePosition | undefined {
    return this.#start;
  }

  /** The number of changes. */
  get size(): number {
    return this.#digests.size;
  }

  /** Forgets everything before this position; undefined: everything. */
  restart(place: PostChangePosition | undefined): void {
    this.#start = place;
    this.#end = place;
    this.#groups = [];
    this.#parts = [];
    this.#digests.clear();
    this.#transactions.clear();
  }

  /** Adds a batch that follows the earlier ones. */
  add(batch: PostChangeBatch): void {
    if (this.#end === undefined) return;
    if (this.#parts.length <= this.#max) this.#parts.push(...batch.changes);
    if (!batch.complete) return;
    this.#life = batch.life;
    const parts = this.#parts;
    const end = { from: batch.to, proof: batch.proof };
    if (parts.length > this.#max) {
      this.restart(end);
      return;
    }
    this.#end = end;
    if (parts.length > 0) this.#groups.push(this.#group(end, parts));
    this.#parts = [];
    while (this.#digests.size > this.#max) this.#drop();
  }

  /** Adds changes between `start` and the present beginning, as many as there is room for. */
  addBefore(start: PostChangePosition, changes: readonly PostChange[]): void {
    if (this.#start === undefined || this.#digests.size + changes.length > this.#max) return;
    if (changes.length > 0) this.#groups.unshift(this.#group(this.#start, changes));
    this.#start = start;
  }

  /** The changes after a position, if all of them are here and it is of this history; otherwise undefined. */
  read({ from, to, afterId = 0n, proof }: PostChangePosition, filter: ChangeFilter): PostChangeBatch | undefined {
    const [start, end] = [this.#start, this.#end];
    if (start === undefined || end?.proof === undefined || proof === undefined || !this.#proves(proof, end.proof))
      return undefined;
    if (!from.covers(start.from) || !end.from.covers(to ?? from)) return undefined;
    const [last, lastProof] = to === undefined ? [end.from, end.proof] : [to, proof];
    const changes = this.#unseenBy(from)
      .filter(change => change.id > afterId && last.sees(change.xid) && isWanted(change, filter))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
    return { from, to: last, proof: lastProof, afterId, changes, life: this.#life, endId: afterId, complete: true };
  }

  #proves({ id, digest, recent }: PlaceProof, end: PlaceProof): boolean {
    if (digest !== end.digest && digest !== this.#digests.get(id)) return false;
    return recent.every(xid => this.#transactions.has(xid) || end.recent.includes(xid));
  }

  #unseenBy(from: Snapshot): PostChange[] {
    const unseen: PostChange[] = [];
    for (const { end, changes } of this.#groups.toReversed()) {
      if (from.covers(end.from)) break;
      for (const change of changes) if (!from.sees(change.xid)) unseen.push(change);
    }
    return unseen;
  }

  #group(end: PostChangePosition, changes: readonly PostChange[]): Group {
    for (const { id, xid, digest } of changes) {
      this.#digests.set(id, digest);
      this.#transactions.set(xid, (this.#transactions.get(xid) ?? 0) + 1);
    }
    return { end, changes };
  }

  #drop(): void {
    const dropped = this.#groups.shift();
    if (dropped === undefined) return;
    this.#start = dropped.end;
    for (const { id, xid } of dropped.changes) {
      this.#digests.delete(id);
      const others = (this.#transactions.get(xid) ?? 1) - 1;
      if (others > 0) this.#transactions.set(xid, others);
      else this.#transactions.delete(xid);
    }
  }
}

/** The changes up to `end`, after the end of the group before. */
interface Group {
  readonly end: PostChangePosition;
  readonly changes: readonly PostChange[];
}

/** About 5 MB. It holds the last seconds at the highest write rate that was measured, and minutes otherwise. */
export const RECENT_CHANGES = 4000;
