/**
 * Measures how far a replica lags, in time, from what the primary had written when, and what the replica has replayed. Postgres' own answer
 * (`pg_last_xact_replay_timestamp`) grows while nobody writes, and stands still when the replica is cut off.
 */
export class ReplicationLag {
  #written: readonly { readonly lsn: bigint; readonly at: number }[] = [];

  /** The primary has written its log up to here. @param at by a monotonic clock in milliseconds. */
  written(lsn: bigint, at: number): void {
    if (lsn !== this.#written.at(-1)?.lsn) this.#written = [...this.#written, { lsn, at }].slice(-KEPT);
  }

  /** How long the primary has had what the replica has not replayed, in milliseconds; 0: nothing is missing. */
  lagMs(replayed: bigint, now: number): number {
    const missing = this.#written.find(({ lsn }) => lsn > replayed);
    return missing === undefined ? 0 : now - missing.at;
  }
}

/** Two minutes of checks. */
const KEPT = 240;
