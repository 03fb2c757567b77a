import { translateDriverError } from '#src/db/errors.ts';
import { Lane, type LaneOptions } from '#src/db/lane.ts';
import { ConnectionLostError, type PipelinedConnection } from '#src/db/pipelined-connection.ts';
import { type NamedStatement, type Parameter, toParameter } from '#src/db/pipelined-read.ts';
import type { ConnectionPool } from '#src/db/pool.ts';
import { untilAborted } from '#src/db/until-aborted.ts';

export interface ReadLanesOptions extends LaneOptions {
  /** How many connections; 0: none, and all goes over the pool. Few do: 2 to 4 keep a Postgres of a few cores busy. */
  readonly count: number;
  /** The most statements that are in flight over all lanes; further ones go to the pool's queue, which is bounded. */
  readonly maxInFlight: number;
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
 * Only for short single statements that write nothing: one that is slow delays those behind it on its connection, an
 * aborted one is not cancelled, and one whose connection is lost is run once more, over the pool. While no lane is up, and
 * where too much is in flight, statements go over the pool too; so a lane that is down fails no call.
 */
export class ReadLanes implements AsyncDisposable {
  readonly #lanes: readonly Lane[];
  readonly #maxInFlight: number;
  readonly #pool: Pick<ConnectionPool, 'acquire'>;
  readonly #texts = new Map<string, string>();

  /** Begins to connect, and waits for nothing. @param fallback is not ended with the lanes. */
  constructor(url: string, options: ReadLanesOptions, fallback: Pick<ConnectionPool, 'acquire'>) {
    this.#lanes = Array.from({ length: options.count }, () => new Lane(url, options));
    this.#maxInFlight = options.maxInFlight;
    this.#pool = fallback;
  }

  /**
   * Runs a statement, and gives its rows.
   *
   * @param statement its name belongs to its text alone, and no more than a few dozen are used: Postgres keeps each.
   * @param signal where it aborts, the call is rejected at once. A statement on a lane goes on, and its result is dropped.
   * @throws what translateDriverError makes of the driver's error; the signal's reason; what the pool throws.
   */
  async query<Row extends object>(
    statement: NamedStatement,
    values: readonly unknown[],
    signal?: AbortSignal,
  ): Promise<Row[]> {
    signal?.throwIfAborted();
    this.#checkName(statement);
    const connection = this.#pick();
    const read =
      connection === undefined
        ? untilAborted(this.#readOverPool(statement, values, signal), signal)
        : this.#readOverLane(connection, statement, values, signal);
    return (await read) as Row[];
  }

  get state(): ReadLanesState {
    const connections = this.#lanes.flatMap(lane => lane.connection ?? []);
    return { up: connections.length, inFlight: connections.reduce((sum, { inFlight }) => sum + inFlight, 0) };
  }

  /** Waits for the statements that somebody waits for. Later ones go over the pool. */
  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#lanes.map(lane => lane[Symbol.asyncDispose]()));
  }

  #checkName({ name, text }: NamedStatement): void {
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
        else if (!(error instanceof ConnectionLostError)) reject(translateDriverError(error));
        else resolve(untilAborted(this.#readOverPool(statement, values, signal), signal));
      });
      const abort = () => {
        read.abandon();
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', abort, { once: true });
    });
  }

  async #readOverPool(
    { text }: NamedStatement,
    values: readonly unknown[],
    signal: AbortSignal | undefined,
  ): Promise<readonly object[]> {
    const connection = await this.#pool.acquire(signal);
    try {
      const result = await connection.query(text, values, signal);
      // None: the call was aborted, and its caller has been told.
      return result?.rows ?? [];
    } finally {
      connection.release();
    }
  }
}
