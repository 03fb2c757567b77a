/**
 * Which transactions a statement has seen: Postgres' `pg_snapshot`. Of two snapshots of one server, the later one has seen all that
 * the earlier one had.
 *
 * It answers what no number can: transaction ids are given out at the first write, and become visible at the commit, in another order.
 *
 * One that was taken on a replica counts for less than it has seen: Postgres (18.4) leaves the running transactions out there, so
 * that `803:805:` may lack 803. On a primary that text has no meaning but one: a running transaction of the reader's own.
 *
 * @see https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
 */
export class Snapshot {
  /** As Postgres prints it: `xmin:xmax:xip,xip,…`. */
  readonly text: string;
  readonly #min: bigint;
  readonly #max: bigint;
  readonly #running: ReadonlySet<bigint>;

  /** @throws RangeError for text that is no snapshot. */
  constructor(text: string) {
    const [, min, max, running] = /^(\d{1,20}):(\d{1,20}):((?:\d{1,20}(?:,\d{1,20})*)?)$/.exec(text) ?? [];
    if (min === undefined || max === undefined) throw new RangeError(`no snapshot: '${text.slice(0, 100)}'`);
    this.text = text;
    this.#min = BigInt(min);
    // Without one that runs there is none between the two, unless nobody has told.
    this.#max = running === '' ? this.#min : BigInt(max);
    this.#running = running === '' ? NONE : new Set(running?.split(',').map(BigInt));
  }

  /** Whether it has seen what this transaction wrote, given that the transaction was committed. */
  sees(xid: bigint): boolean {
    if (xid < this.#min) return true;
    return xid < this.#max && !this.#running.has(xid);
  }

  /** Whether this transaction is one that ran when it was taken. */
  hasRunning(xid: bigint): boolean {
    return this.#running.has(xid);
  }

  /** Whether this transaction, and every one with a lower id, had ended before it was taken. */
  hasEnded(xid: bigint): boolean {
    return xid < this.#min;
  }

  /**
   * What it has seen of the transactions up to this one; later ones count as not seen.
   *
   * A crash takes back the ids that were given out and not flushed. So a place that is kept ends at a transaction that is known to last.
   */
  upTo(xid: bigint): Snapshot {
    const max = this.#max > xid + 1n ? xid + 1n : this.#max;
    const running = [...this.#running].filter(id => id < max).sort((a, b) => (a < b ? -1 : 1));
    return new Snapshot(`${running[0] ?? max}:${max}:${running}`);
  }

  /** Whether it has seen all that the other one had: it is as late as that one, or later. */
  covers(other: Snapshot): boolean {
    if (other.text === this.text || other.#max <= this.#min) return true;
    for (const xid of this.#running) if (other.sees(xid)) return false;
    // What began after this one was taken, of which the other one can have seen nothing.
    for (let xid = this.#max; xid < other.#max; xid++) if (other.sees(xid)) return false;
    return true;
  }
}

/** Shared: a set of its own would be half of what a snapshot takes. */
const NONE: ReadonlySet<bigint> = new Set();
