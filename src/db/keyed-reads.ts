import pg from 'pg';
import type { ReadStatement, SnapshotReads, SnapshotRow } from '#src/db/snapshot-reads.ts';

/**
 * Reads of single rows by key, of which those that are asked for in the same turn of the event loop become one statement:
 * Postgres answers a hundred keys in the time of a few statements.
 */
export class KeyedReads<Key extends string, Row extends SnapshotRow> {
  readonly #reads: SnapshotReads;
  readonly #statement: ReadStatement;
  readonly #keyOf: (row: Row) => Key;
  #next = new Map<Key, Waiter<Row>[]>();

  /**
   * @param statement gives the rows whose key is in `$1`, an array, at most one each: `… where id = any($1::uuid[])`.
   * @param keyOf the key in a row, written as callers write it.
   */
  constructor(reads: SnapshotReads, statement: ReadStatement, keyOf: (row: Row) => Key) {
    this.#reads = reads;
    this.#statement = statement;
    this.#keyOf = keyOf;
  }

  /**
   * The row with this key; undefined where there is none.
   *
   * @param signal where it aborts, this call is rejected at once, and no other.
   * @throws what `SnapshotReads.query` throws. A key that Postgres refuses fails its own calls only.
   */
  get(key: Key, signal?: AbortSignal): Promise<Row | undefined> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const waiter: Waiter<Row> = { resolve, reject, gone: false };
      if (signal !== undefined) watchSignal(waiter, signal);
      const waiters = this.#next.get(key);
      if (waiters === undefined) this.#add(key, waiter);
      else waiters.push(waiter);
    });
  }

  #add(key: Key, waiter: Waiter<Row>): void {
    const batch = this.#next;
    if (batch.size === 0) {
      setImmediate(() => {
        if (this.#next === batch) this.#next = new Map();
        void this.#read(batch);
      });
    }
    batch.set(key, [waiter]);
    // The rest of the turn makes another statement.
    if (batch.size === KEYS_MAX) this.#next = new Map();
  }

  async #read(batch: ReadonlyMap<Key, readonly Waiter<Row>[]>): Promise<void> {
    const wanted = [...batch].filter(([, waiters]) => waiters.some(({ gone }) => !gone));
    if (wanted.length === 0) return;
    try {
      const rows = await this.#reads.query<Row>(this.#statement, [wanted.map(([key]) => key)]);
      const found = new Map(rows.map(row => [this.#keyOf(row), row]));
      for (const [key, waiters] of wanted) for (const { resolve } of waiters) resolve(found.get(key));
    } catch (error) {
      // One of the keys is none, and which one Postgres does not say.
      if (wanted.length > 1 && isDataError(error)) for (const entry of wanted) void this.#read(new Map([entry]));
      else for (const [, waiters] of wanted) for (const { reject } of waiters) reject(error);
    }
  }
}

interface Waiter<Row> {
  resolve(row: Row | undefined): void;
  reject(reason: unknown): void;
  gone: boolean;
}

function watchSignal<Row>(waiter: Waiter<Row>, signal: AbortSignal): void {
  const { resolve, reject } = waiter;
  const abort = () => {
    waiter.gone = true;
    reject(signal.reason);
  };
  signal.addEventListener('abort', abort, { once: true });
  waiter.resolve = row => {
    signal.removeEventListener('abort', abort);
    resolve(row);
  };
  waiter.reject = error => {
    signal.removeEventListener('abort', abort);
    reject(error);
  };
}

/** Class 22, such as a UUID that is none. */
function isDataError(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code?.startsWith('22') === true;
}

const KEYS_MAX = 100;
