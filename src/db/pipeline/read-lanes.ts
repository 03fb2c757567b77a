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
  /** How many connections; 0: none, and all goes over the pool. Few do: 2 to 4 keep a Postgres of a few cores busy. */
  readonly count: number;
  /** The most statements that are in flight over all lanes; further ones go to the pool's queue, which is bounded. */
  readonly maxInFlight: number;
  /** Bounds how many statements are run once more; unset: nothing does. */
  readonly retryBudget?: Pick<RetryBudget, 'called' | 'mayRetry'>;
}

/** What the lanes are doing. */
export interface ReadLanesState {
  /** Lanes that are connected. */
  readonly up: number;
  /** Statements that were sent and have no answer. */
  readonly inFlight: number;
}

/**
 * Hot reads over a few shared connections, several at a time on each, as prepared statements: each costs a quarter of what
 * it does over a pool, where a connection waits for each answer.
 *
 * Only single statements that write nothing, are short and have names go over lanes. A slow one delays those behind it on its connection,
 * and an aborted one is not cancelled. The others go over the pool, as all do while no lane is up, and where too much is in flight. A
 * statement whose connection is lost is run once more, over the pool, as far as the budget for that goes; so a connection that is down
 * fails no call while there is another.
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
   * Runs a statement, and gives its rows.
   *
   * @param statement its name, if it has one, belongs to its text alone, and no more than a few dozen are used: Postgres keeps each.
   * @param demand.signal where it aborts, the call is rejected at once. A statement on a lane goes on, and its result is dropped.
   * @throws what translateDriverError makes of the driver's error; the signal's reason; what the pool throws.
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

  /** Opens new connections in place of those that are open; what was sent on these is still answered. */
  renew(): void {
    for (const lane of this.#lanes) lane.renew();
  }

  get state(): ReadLanesState {
    const connections = this.#lanes.flatMap(lane => lane.connection ?? []);
    return { up: connections.length, inFlight: connections.reduce((sum, { inFlight }) => sum + inFlight, 0) };
  }

  /** Resolves when a lane is up, or after this time, or at once where there are none: before, all reads would go over the pool. */
  async opened(withinMs: number): Promise<void> {
    if (this.#lanes.length === 0) return;
    await withTimeout(withinMs, Promise.race(this.#lanes.map(({ opened }) => opened))).catch(() => {});
  }

  /** Waits for the statements that somebody waits for. Later ones go over the pool. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#lanes.map(lane => lane[Symbol.asyncDispose]()));
  }

  #checkName(name: string, text: string): void {
    const known = this.#texts.get(name);
    if (known === undefined) this.#texts.set(name, text);
    else if (known !== text) throw new Error(`two statements have the name ${name}`);
  }

  /** The one with the fewest in flight; undefined where none is up, or too many are in flight. */
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
      // None: the call was aborted, and its caller has been told.
      return result?.rows ?? [];
    } catch (error) {
      // The connection was lost, with nothing written: another one may do. It may have been lost long ago, while it was idle.
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
