/**
 * Tells how far a replica is behind, in time, from what the primary had written when, and what the replica has replayed of it. Postgres'
 * own answer (`pg_last_xact_replay_timestamp`) grows while nobody writes, and stands still where the replica is cut off.
 */
export class ReplicationLag {
  #written: readonly { readonly lsn: bigint; readonly at: number }[] = [];

  /** The primary has written its log up to here. @param at milliseconds of a clock that never jumps. */
  written(lsn: bigint, at: number): void {
    if (lsn !== this.#written.at(-1)?.lsn) this.#written = [...this.#written, { lsn, at }].slice(-KEPT);
  }

  /** For how long the primary has had what the replica has not replayed, in milliseconds; 0: it has all that is known of. */
  lagMs(replayed: bigint, now: number): number {
    const missing = this.#written.find(({ lsn }) => lsn > replayed);
    return missing === undefined ? 0 : now - missing.at;
  }
}

/** Two minutes of looks. */
const KEPT = 240;
