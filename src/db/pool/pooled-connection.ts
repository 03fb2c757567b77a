import type pg from 'pg';
import { leavesConnectionUsable, translateDriverError } from '#src/db/errors.ts';
import { cancelRunningQuery } from '#src/db/pool/query-cancel.ts';
import { type NamedStatement, PreparedQuery, type RowShape, toParameter } from '#src/db/prepared-query.ts';

/** A connection taken from a pool. `release` must put it back. */
export class PooledConnection {
  readonly #client: pg.ClientBase;
  readonly #shapes: Map<string, RowShape> | undefined;
  readonly #putBack: (isUsable: boolean) => void;
  #hasFailed = false;
  #isReleased = false;
  #cancelling: Promise<void> | undefined;

  /**
   * @param shapes of the connection's prepared statements; undefined: the settings do not allow them.
   * @param putBack called once, with whether the connection is usable for others.
   */
  constructor(client: pg.ClientBase, shapes: Map<string, RowShape> | undefined, putBack: (isUsable: boolean) => void) {
    this.#client = client;
    this.#shapes = shapes;
    this.#putBack = putBack;
  }

  /**
   * Runs one statement and returns its result.
   *
   * When `signal` aborts, the statement is cancelled in Postgres. The promise then resolves with undefined as soon as the connection is
   * free again.
   *
   * @throws the translated error of the driver (translateDriverError).
   */
  query(text: string, parameters: readonly unknown[], signal?: AbortSignal): Promise<pg.QueryResult | undefined> {
    return this.#send(() => this.#client.query(text, parameters as unknown[]), signal);
  }

  /**
   * Runs one statement and returns its rows. If the settings allow prepared statements, each connection parses and describes it once.
   * Otherwise it is like `query`.
   */
  run<Row extends object>(
    statement: NamedStatement,
    values: readonly unknown[],
    signal?: AbortSignal,
  ): Promise<readonly Row[] | undefined> {
    const parameters = values.map(toParameter);
    const sent = this.#shapes === undefined ? { name: '', text: statement.text } : statement;
    const shapes = this.#shapes ?? NO_SHAPES;
    const send = () =>
      new Promise<readonly Row[]>((resolve, reject) => {
        const end = (error: unknown, rows: readonly object[]) =>
          error === undefined ? resolve(rows as readonly Row[]) : reject(error);
        this.#client.query(new PreparedQuery(sent, parameters, shapes, end));
      });
    return this.#send(send, signal);
  }

  /** Puts the connection back, or closes it if it failed, is too old, or must be discarded. Must be called once. */
  release(discard = false): void {
    if (this.#isReleased) throw new Error('the connection has been put back before');
    this.#isReleased = true;
    this.#putBack(!discard && !this.#hasFailed);
  }

  async #send<T>(send: () => Promise<T>, signal: AbortSignal | undefined): Promise<T | undefined> {
    // A cancel request names the backend, not the query. So it must be delivered before the next query starts, such as the rollback after a
    // cancelled query.
    await this.#cancelling;
    const running = send();
    if (signal === undefined) return this.#settle(running);
    const cancel = () => {
      this.#cancelling = cancelRunningQuery(this.#client, running);
    };
    if (signal.aborted) cancel();
    else signal.addEventListener('abort', cancel, { once: true });
    try {
      return await this.#settle(running);
    } catch (error) {
      if (signal.aborted) return undefined;
      throw error;
    } finally {
      signal.removeEventListener('abort', cancel);
      await this.#cancelling;
    }
  }

  async #settle<T>(running: Promise<T>): Promise<T> {
    try {
      return await running;
    } catch (error) {
      if (!leavesConnectionUsable(error)) this.#hasFailed = true;
      throw translateDriverError(error);
    }
  }
}

/** A statement without a name is described each time. */
const NO_SHAPES = new Map<string, RowShape>();
