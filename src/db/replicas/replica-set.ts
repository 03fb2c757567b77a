import { setTimeout as sleep } from 'node:timers/promises';
import { TimeoutError, withTimeout } from '#src/async/with-timeout.ts';
import { DatabaseUnavailableError } from '#src/db/errors.ts';
import { type FollowedHistory, HISTORY_NOTE } from '#src/db/history-note.ts';
import { Snapshot } from '#src/db/snapshot.ts';
import type { ReadExecutor, ReadOptions, ReadStatement, SnapshotRow } from '#src/db/snapshot-reads.ts';
import type { Logger } from '#src/observability/logger.ts';

/** One replica for reads. */
export interface ReplicaReads extends AsyncDisposable {
  /** Its host and port, for the log. */
  readonly name: string;
  readonly reads: ReadExecutor;
}

export interface ReplicaSetOptions {
  /** A replica that lags further gets no reads, in milliseconds. */
  readonly maxLagMs: number;
  /** The interval of checks, in milliseconds. Default: 500. */
  readonly lookEveryMs?: number;
}

/**
 * Reads from replicas in turns, if they have replayed what the caller must see, and otherwise from the primary.
 *
 * The snapshot that comes with the rows tells that, so nothing can change between check and read. A replica that fails, hangs, or lags too
 * far leaves at once, and returns by itself. Its reads go to the primary, so no call fails.
 */
export class ReplicaSet implements ReadExecutor, AsyncDisposable {
  readonly #primary: ReadExecutor;
  readonly #members: readonly Member[];
  readonly #history: FollowedHistory;
  readonly #options: Required<ReplicaSetOptions>;
  readonly #log: Logger;
  readonly #lag = new ReplicationLag();
  readonly #ended = new AbortController();
  readonly #watching: Promise<void>;
  #turn = 0;

  /**
   * @param replicas are ended with the set.
   * @param history of the primary. A replica of another history gets no reads.
   */
  constructor(
    primary: ReadExecutor,
    replicas: readonly ReplicaReads[],
    history: FollowedHistory,
    options: ReplicaSetOptions,
    log: Logger,
  ) {
    this.#primary = primary;
    this.#members = replicas.map(replica => ({ replica, isUsable: false, isLogged: false, era: undefined }));
    this.#history = history;
    this.#options = { lookEveryMs: LOOK_EVERY_MS, ...options };
    this.#log = log;
    this.#watching = replicas.length === 0 ? Promise.resolve() : this.#watch();
  }

  /** The number of replicas that get reads now. */
  get usable(): number {
    return this.#members.filter(member => this.#isUsable(member)).length;
  }

  /** Whether each replica gets reads now, by name. */
  get state(): Readonly<Record<string, boolean>> {
    return Object.fromEntries(this.#members.map(member => [member.replica.name, this.#isUsable(member)]));
  }

  async query<Row extends SnapshotRow>(
    statement: ReadStatement,
    values: readonly unknown[],
    demand: ReadOptions = {},
  ): Promise<Row[]> {
    const member = demand.fresh ? undefined : this.#next();
    if (member !== undefined) {
      try {
        const rows = await this.#read<Row>(member, statement, values, demand);
        if (hasSeen(rows[0], demand)) return rows;
      } catch (error) {
        if (demand.signal?.aborted) throw error;
        // Other errors may be the replica's own, such as a conflict with its replay. The primary decides.
        if (error instanceof DatabaseUnavailableError || error instanceof TimeoutError) this.#leave(member, error);
      }
    }
    return this.#primary.query<Row>(statement, values, demand);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#watching;
    await Promise.all(this.#members.map(({ replica }) => replica[Symbol.asyncDispose]()));
  }

  /** @throws TimeoutError if the replica takes too long. Time in the queue is not its fault. */
  async #read<Row extends SnapshotRow>(
    { replica }: Member,
    statement: ReadStatement,
    values: readonly unknown[],
    demand: ReadOptions,
  ): Promise<Row[]> {
    const turn = Promise.withResolvers<void>();
    const reading = replica.reads.query<Row>(statement, values, { ...demand, begun: turn.resolve });
    await Promise.race([turn.promise, reading]);
    return withTimeout(WAIT_MS, reading);
  }

  #next(): Member | undefined {
    for (let tried = 0; tried < this.#members.length; tried++) {
      const member = this.#members[this.#turn++ % this.#members.length];
      if (member !== undefined && this.#isUsable(member)) return member;
    }
    return undefined;
  }

  /** While the primary is unknown, replicas get reads as before, but not before it was first known. */
  #isUsable({ isUsable, era }: Member): boolean {
    return isUsable && era !== undefined && (this.#history.era === undefined || this.#history.era === era);
  }

  async #watch(): Promise<void> {
    const { signal } = this.#ended;
    while (!signal.aborted) {
      await this.#lookAtPrimary();
      await Promise.all(this.#members.map(member => this.#look(member)));
      await sleep(this.#options.lookEveryMs, undefined, { signal, ref: false }).catch(() => {});
    }
  }

  /** While the primary cannot be reached, it is unknown what replicas lack, so they get reads as before. */
  async #lookAtPrimary(): Promise<void> {
    const at = performance.now();
    const rows = await this.#ask<LogPosition>(this.#primary, WRITTEN).catch(() => []);
    if (rows[0]?.lsn) this.#lag.written(BigInt(rows[0].lsn), at);
  }

  async #look(member: Member): Promise<void> {
    const { era } = this.#history;
    try {
      const [row] = await this.#ask<ReplayPosition>(member.replica.reads, REPLAYED);
      if (row?.lsn == null || !row.is_replica) throw new Error('it is not a replica: it takes writes');
      const lagMs = this.#lag.lagMs(BigInt(row.lsn), performance.now());
      if (lagMs > this.#options.maxLagMs) throw new Error(`it is ${Math.round(lagMs)} ms behind`);
      if (era !== undefined && row.note !== this.#history.note)
        throw new Error('it follows another history than the primary');
      if (era !== undefined) member.era = era;
      if (member.isLogged) this.#log.info({ replica: member.replica.name }, 'a replica gets reads again');
      member.isUsable = true;
      member.isLogged = false;
    } catch (error) {
      if (!this.#ended.signal.aborted) this.#leave(member, error);
    }
  }

  async #ask<Row extends SnapshotRow>(reads: ReadExecutor, text: string): Promise<Row[]> {
    const signal = AbortSignal.any([this.#ended.signal, AbortSignal.timeout(WAIT_MS)]);
    // Before all queued calls.
    return withTimeout(WAIT_MS, reads.query<Row>({ text }, [], { signal, criticality: 'critical-plus' }));
  }

  #leave(member: Member, err: unknown): void {
    member.isUsable = false;
    if (!member.isLogged) this.#log.warn({ err, replica: member.replica.name }, 'a replica gets no reads for now');
    member.isLogged = true;
  }
}

interface Member {
  readonly replica: ReplicaReads;
  isUsable: boolean;
  /** The era in which it has shown that it follows the primary's history; undefined: none. */
  era: number | undefined;
  /** Whether its leaving was logged, once each time. */
  isLogged: boolean;
}

interface LogPosition extends SnapshotRow {
  readonly lsn: string | null;
}

interface ReplayPosition extends LogPosition {
  readonly is_replica: boolean;
  readonly note: string;
}

function hasSeen(row: SnapshotRow | undefined, { minTransactions = [], atLeast }: ReadOptions): boolean {
  if (row === undefined) return false;
  const snapshot = new Snapshot(row.taken);
  return minTransactions.every(xid => snapshot.sees(xid)) && (atLeast === undefined || snapshot.covers(atLeast));
}

const TAKEN = 'select pg_current_snapshot()::text as taken';
const WRITTEN = `${TAKEN}, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')::text as lsn`;
const REPLAYED = `${TAKEN}, pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0')::text as lsn, pg_is_in_recovery() as is_replica,
  ${HISTORY_NOTE} as note from post_changes_history`;
const LOOK_EVERY_MS = 500;
/** A slower replica does not help: a hundred times the duration of a read. */
const WAIT_MS = 1000;

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
