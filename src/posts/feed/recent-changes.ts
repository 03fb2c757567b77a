import type { Snapshot } from '#src/db/snapshot.ts';
import type { PlaceProof } from '#src/posts/feed/place-proof.ts';
import { type ChangeFilter, isWanted, type PostChange, type PostChangeBatch } from '#src/posts/feed/post-change.ts';
import type { PostChangePosition } from '#src/posts/feed/post-change-position.ts';

/**
 * The latest changes that the feed has read, all of them from some place on: who resumes within them needs no database.
 *
 * It answers what `readPostChanges` would, or nothing. A place is proved by what is here: it was read in the history that the feed follows,
 * which the feed proves at each of its readings.
 */
export class RecentChanges {
  readonly #max: number;
  /** All that was seen after this one and up to `#end` is here. */
  #start: PostChangePosition | undefined;
  #end: PostChangePosition | undefined;
  /** The life in which `#end` was proved for the last time. */
  #life = '';
  #groups: Group[] = [];
  /** Of a batch that is told in parts: what has come of it. */
  #parts: PostChange[] = [];
  readonly #digests = new Map<bigint, string>();
  readonly #transactions = new Map<bigint, number>();

  /** @param max the most changes: of older ones whole batches are dropped. */
  constructor(max: number) {
    this.#max = max;
  }

  /** From where on all changes are here; undefined: none are. */
  get start(): PostChangePosition | undefined {
    return this.#start;
  }

  /** How many there are. */
  get size(): number {
    return this.#digests.size;
  }

  /** Nothing is known of what was before this place, undefined: of anything. */
  restart(place: PostChangePosition | undefined): void {
    this.#start = place;
    this.#end = place;
    this.#groups = [];
    this.#parts = [];
    this.#digests.clear();
    this.#transactions.clear();
  }

  /** The feed has read this, behind what it had read before. */
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

  /** What was seen after `start` and before the place at which it begins now: as many as there is room for are kept. */
  addBefore(start: PostChangePosition, changes: readonly PostChange[]): void {
    if (this.#start === undefined || this.#digests.size + changes.length > this.#max) return;
    if (changes.length > 0) this.#groups.unshift(this.#group(this.#start, changes));
    this.#start = start;
  }

  /** The changes behind a place, if all of them are here and it is of this history; else undefined. */
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

/** What was read up to `end`, behind the end of the group before. */
interface Group {
  readonly end: PostChangePosition;
  readonly changes: readonly PostChange[];
}

/** About 5 MB. It holds the last seconds at the highest write rate that was measured, and minutes otherwise. */
export const RECENT_CHANGES = 4000;
