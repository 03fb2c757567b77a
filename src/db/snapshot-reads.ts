import { type Database, runText } from '#src/db/database.ts';
import type { Snapshot } from '#src/db/snapshot.ts';
import type { Criticality } from '#src/resilience/criticality.ts';

/** Reads of one statement each, with the snapshot of the database that they saw. */
export interface ReadExecutor {
  /**
   * Runs a statement, and returns its rows.
   *
   * @param statement has at least one row.
   * @throws the translated error of the driver (translateDriverError); the signal's reason.
   */
  query<Row extends SnapshotRow>(
    statement: ReadStatement,
    values: readonly unknown[],
    demand?: ReadOptions,
  ): Promise<Row[]>;
}

export interface ReadStatement {
  /**
   * The name of a short read by key. It must always have the same text, and only a few dozen names are used. Unset: the read may take long.
   */
  readonly name?: string | undefined;
  readonly text: string;
}

/** `pg_current_snapshot()::text as taken`. */
export interface SnapshotRow {
  readonly taken: string;
}

/** The requirements on a read. */
export interface ReadOptions {
  readonly signal?: AbortSignal | undefined;
  /** Committed transactions whose writes the read must see. */
  readonly minTransactions?: readonly bigint[] | undefined;
  /** The read must see everything that this snapshot sees. */
  readonly atLeast?: Snapshot | undefined;
  /** The read must see everything that is committed by now. */
  readonly fresh?: boolean | undefined;
  /** When the last caller stops waiting, by `performance.now()`; undefined: never. */
  readonly deadline?: (() => number | undefined) | undefined;
  /** How much the read matters under overload. */
  readonly criticality?: Criticality | undefined;
  /** Called when its turn has come. From then on, the time counts as the database's, and not as the queue's. */
  readonly begun?: (() => void) | undefined;
}

/** Reads over the pool of a database. */
export function readsOf(db: Database): ReadExecutor {
  return { query: ({ text }, values, { signal } = {}) => runText(db, text, values, signal) };
}
