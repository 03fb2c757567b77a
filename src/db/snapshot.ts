/**
 * The transactions that a statement has seen: Postgres' `pg_snapshot`. Of two snapshots of one server, the later one sees everything that
 * the earlier one does.
 *
 * No number can replace it: transaction ids are assigned at the first write, and become visible at the commit, in another order.
 *
 * A snapshot of a replica claims more than it has seen: Postgres (18.4) leaves out the running transactions there, so `803:805:` may lack
 * 803. On a primary, such text can only mean a running transaction of the reader itself.
 *
 * @see https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-INFO-SNAPSHOT
 */
export class Snapshot {
  /** As Postgres prints it: `xmin:xmax:xip,xip,…`. */
  readonly text: string;
  readonly #min: bigint;
  readonly #max: bigint;
  readonly #running: ReadonlySet<bigint>;

  /** @throws RangeError for text that is not a snapshot. */
  constructor(text: string) {
    const [, min, max, running] = /^(\d{1,20}):(\d{1,20}):((?:\d{1,20}(?:,\d{1,20})*)?)$/.exec(text) ?? [];
    if (min === undefined || max === undefined) throw new RangeError(`no snapshot: '${text.slice(0, 100)}'`);
    this.text = text;
    this.#min = BigInt(min);
    // Without running transactions there is none between the two, unless a replica left them out.
    this.#max = running === '' ? this.#min : BigInt(max);
    this.#running = running === '' ? NONE : new Set(running?.split(',').map(BigInt));
  }

  /** Whether it sees the writes of this committed transaction. */
  sees(xid: bigint): boolean {
    if (xid < this.#min) return true;
    return xid < this.#max && !this.#running.has(xid);
  }

  /** Whether this transaction was running. */
  hasRunning(xid: bigint): boolean {
    return this.#running.has(xid);
  }

  /** Whether this transaction, and all with lower ids, had ended. */
  hasEnded(xid: bigint): boolean {
    return xid < this.#min;
  }

  /**
   * The snapshot up to this transaction. Later ones count as not seen.
   *
   * A crash takes back ids that were assigned and not flushed. So a stored position ends at a transaction that is known to last.
   */
  upTo(xid: bigint): Snapshot {
    const max = this.#max > xid + 1n ? xid + 1n : this.#max;
    const running = [...this.#running].filter(id => id < max).sort((a, b) => (a < b ? -1 : 1));
    return new Snapshot(`${running[0] ?? max}:${max}:${running}`);
  }

  /** Whether it sees everything that the other one does, so it is not earlier. */
  covers(other: Snapshot): boolean {
    if (other.text === this.text || other.#max <= this.#min) return true;
    for (const xid of this.#running) if (other.sees(xid)) return false;
    // Transactions that began after this snapshot, of which the other one must see nothing.
    for (let xid = this.#max; xid < other.#max; xid++) if (other.sees(xid)) return false;
    return true;
  }
}

/** Shared, because its own set would be half of a snapshot's memory. */
const NONE: ReadonlySet<bigint> = new Set();
