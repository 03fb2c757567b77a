import { type Database, runText } from '#src/db/database.ts';
import type { Snapshot } from '#src/db/snapshot.ts';
import type { Criticality } from '#src/resilience/criticality.ts';

/** Reads of one statement each, that also say which snapshot of the database they are of. */
export interface ReadExecutor {
  /**
   * Runs a statement, and gives its rows.
   *
   * @param statement has one row at least.
   * @throws what translateDriverError makes of the driver's error; the signal's reason.
   */
  query<Row extends SnapshotRow>(
    statement: ReadStatement,
    values: readonly unknown[],
    demand?: ReadOptions,
  ): Promise<Row[]>;
}

export interface ReadStatement {
  /** Of a short read by key: belongs to its text alone, and no more than a few dozen are used. Unset: it may take long. */
  readonly name?: string | undefined;
  readonly text: string;
}

/** `pg_current_snapshot()::text as taken`. */
export interface SnapshotRow {
  readonly taken: string;
}

/** What a caller wants of a read. */
export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
  /** Transactions, all of them committed, whose writes it has to see. */
  readonly minTransactions?: readonly bigint[] | undefined;
  /** It has to see all that this one has seen. */
  readonly atLeast?: Snapshot | undefined;
  /** It has to see all that is committed by now. */
  readonly fresh?: boolean | undefined;
  /** When nobody waits for it any more, by `performance.now()`; undefined: never. */
  readonly deadline?: (() => number | undefined) | undefined;
  /** How much it matters, where not all can be served. */
  readonly criticality?: Criticality | undefined;
  /** Told when its turn has come: what it takes from then on is the database's time, and not that of the queue in front of it. */
  readonly begun?: (() => void) | undefined;
}

/** Reads over the pool of a database. */
export function readsOf(db: Database): ReadExecutor {
  return { query: ({ text }, values, { signal } = {}) => runText(db, text, values, signal) };
}
