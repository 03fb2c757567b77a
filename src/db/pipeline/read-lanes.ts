import { abortable, withTimeout } from '#src/async/with-timeout.ts';
import { PrimaryHost } from '#src/db/connection/primary-host.ts';
import { DatabaseUnavailableError, translateDriverError } from '#src/db/errors.ts';
import { Lane, type LaneOptions } from '#src/db/pipeline/lane.ts';
import { ConnectionLostError, type PipelinedConnection } from '#src/db/pipeline/pipelined-connection.ts';
import type { ConnectionPool } from '#src/db/pool/pool.ts';
import { type NamedStatement, type Parameter, toParameter } from '#src/db/prepared-query.ts';
import type { ReadOptions, ReadStatement } from '#src/db/snapshot-reads.ts';
import type { RetryBudget } from '#src/resilience/retry-budget.ts';

export interface ReadLanesOptions extends LaneOptions {
  /** The number of connections; 0: all reads use the pool. 2 to 4 keep a Postgres of a few cores busy. */
  readonly count: number;
  /** The most statements in flight over all lanes. Further ones wait in the pool's bounded queue. */
  readonly maxInFlight: number;
  /** Limits repeated statements; unset: no limit. */
  readonly retryBudget?: Pick<RetryBudget, 'called' | 'mayRetry'>;
}

/** The state of the lanes. */
export interface ReadLanesState {
  /** The number of connected lanes. */
  readonly up: number;
  /** The number of statements without an answer. */
  readonly inFlight: number;
}

/**
 * Runs hot reads over a few shared connections, several at a time on each, as prepared statements. Each costs a quarter of a read over a
 * pool, where a connection waits for each answer.
 *
 * Only single, short, read-only statements with names use lanes. A slow one delays those behind it, and an aborted one is not cancelled.
 * Other statements use the pool, and so do all while no lane is up, or too many are in flight. A statement whose connection is lost runs
 * again over the pool, within the retry budget. So a lost connection fails no call while another one is up.
 */
export class ReadLanes implements AsyncDisposable {
  readonly #lanes: readonly Lane[];
  readonly #maxInFlight: number;
  readonly #pool: Pick<ConnectionPool, 'acquire'>;
  readonly #retryBudget: ReadLanesOptions['retryBudget'];
  readonly #texts = new Map<string, string>();

  /** Begins to connect, and waits for nothing. @param fallback is not ended with the lanes. */
  constructor(database: string | PrimaryHost, options: ReadLanesOptions, fallback: Pick<ConnectionPool, 'acquire'>) {
    const host = PrimaryHost.of(database);
    this.#lanes = Array.from({ length: options.count }, () => new Lane(host, options));
    this.#maxInFlight = options.maxInFlight;
    this.#pool = fallback;
    this.#retryBudget = options.retryBudget;
  }

  /**
   * Runs a statement, and returns its rows.
   *
   * @param statement its name must always have the same text, and only a few dozen are used, because Postgres keeps each.
   * @param demand.signal when it aborts, the call is rejected at once. A statement on a lane continues, and its result is dropped.
   * @throws the translated error of the driver (translateDriverError); the signal's reason; errors of the pool.
   */
  async query<Row extends object>(
    { name, text }: ReadStatement,
    values: readonly unknown[],
    { signal }: ReadOptions = {},
  ): Promise<Row[]> {
    signal?.throwIfAborted();
    this.#retryBudget?.called();
    const connection = name === undefined ? undefined : this.#pick();
    if (name !== undefined) this.#checkName(name, text);
    const read =
      name === undefined || connection === undefined
        ? this.#readOverPool(text, values, signal, POOL_ATTEMPTS)
        : this.#readOverLane(connection, { name, text }, values, signal);
    return (await read) as Row[];
  }

  /** Replaces the open connections. Sent statements are still answered. */
  renew(): void {
    for (const lane of this.#lanes) lane.renew();
  }

  get state(): ReadLanesState {
    const connections = this.#lanes.flatMap(lane => lane.connection ?? []);
    return { up: connections.length, inFlight: connections.reduce((sum, { inFlight }) => sum + inFlight, 0) };
  }

  /** Resolves when a lane is up, or after this time, or at once without lanes. Before, all reads would use the pool. */
  async opened(withinMs: number): Promise<void> {
    if (this.#lanes.length === 0) return;
    await withTimeout(withinMs, Promise.race(this.#lanes.map(({ opened }) => opened))).catch(() => {});
  }

  /** Waits for statements with waiting callers. Later ones use the pool. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#lanes.map(lane => lane[Symbol.asyncDispose]()));
  }

  #checkName(name: string, text: string): void {
    const known = this.#texts.get(name);
    if (known === undefined) this.#texts.set(name, text);
    else if (known !== text) throw new Error(`two statements have the name ${name}`);
  }

  /** The lane with the fewest statements in flight; undefined if none is up, or too many are in flight. */
  #pick(): PipelinedConnection | undefined {
    let best: PipelinedConnection | undefined;
    let inFlight = 0;
    for (const { connection } of this.#lanes) {
      if (connection === undefined) continue;
      inFlight += connection.inFlight;
      if (best === undefined || connection.inFlight < best.inFlight) best = connection;
    }
    return inFlight < this.#maxInFlight ? best : undefined;
  }

  #readOverLane(
    connection: PipelinedConnection,
    statement: NamedStatement,
    values: readonly unknown[],
    signal: AbortSignal | undefined,
  ): Promise<readonly object[]> {
    const parameters: readonly Parameter[] = values.map(toParameter);
    return new Promise((resolve, reject) => {
      const read = connection.send(statement, parameters, (error, rows) => {
        signal?.removeEventListener('abort', abort);
        if (error === undefined) resolve(rows);
        else if (!(error instanceof ConnectionLostError) || !this.#mayRetry()) reject(translateDriverError(error));
        else resolve(this.#readOverPool(statement.text, values, signal, POOL_ATTEMPTS));
      });
      const abort = () => {
        read.abandon();
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  #readOverPool(
    text: string,
    values: readonly unknown[],
    signal: AbortSignal | undefined,
    attempts: number,
  ): Promise<readonly object[]> {
    return abortable(this.#runInPool(text, values, signal, attempts), signal);
  }

  async #runInPool(
    text: string,
    values: readonly unknown[],
    signal: AbortSignal | undefined,
    attempts: number,
  ): Promise<readonly object[]> {
    const connection = await this.#pool.acquire(signal);
    try {
      const result = await connection.query(text, values, signal);
      // No rows: the call was aborted, and its caller knows.
      return result?.rows ?? [];
    } catch (error) {
      // The connection was lost, and nothing was written, so another one may do. It may have been lost long ago, while idle.
      if (attempts < 2 || !(error instanceof DatabaseUnavailableError) || !this.#mayRetry()) throw error;
    } finally {
      connection.release();
    }
    return this.#runInPool(text, values, signal, attempts - 1);
  }

  #mayRetry(): boolean {
    return this.#retryBudget?.mayRetry() ?? true;
  }
}

const POOL_ATTEMPTS = 2;
