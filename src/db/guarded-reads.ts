import { BrokenCircuitError } from 'cockatiel';
import type { DatabasePolicy } from '#src/db/database-policy.ts';
import { DatabaseUnavailableError } from '#src/db/errors.ts';
import type { ReadDemand, ReadStatement, SnapshotReads, SnapshotRow } from '#src/db/snapshot-reads.ts';

/** Reads of a database, as its policy lets them through. */
export class GuardedReads implements SnapshotReads {
  readonly #reads: SnapshotReads;
  readonly #policy: DatabasePolicy;

  constructor(reads: SnapshotReads, policy: DatabasePolicy) {
    this.#reads = reads;
    this.#policy = policy;
  }

  /** @throws what the reads throw; OverloadedError; DatabaseUnavailableError at once, while the circuit is open. */
  async query<Row extends SnapshotRow>(
    statement: ReadStatement,
    values: readonly unknown[],
    demand: ReadDemand = {},
  ): Promise<Row[]> {
    const read = () => {
      demand.begun?.();
      return this.#reads.query<Row>(statement, values, demand);
    };
    return this.#policy.run('read', read, demand).catch(translateBrokenCircuit);
  }
}

/** What an open circuit means for a caller. */
export function translateBrokenCircuit(error: unknown): never {
  if (!(error instanceof BrokenCircuitError)) throw error;
  throw new DatabaseUnavailableError('the database fails, and is not asked for now', { cause: error });
}
