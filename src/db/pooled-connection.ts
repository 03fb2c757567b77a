import type pg from 'pg';
import { leavesConnectionUsable, translateDriverError } from '#src/db/errors.ts';
import { cancelRunningQuery } from '#src/db/query-cancel.ts';

/** A connection that was taken out of a pool, and must be put back by `release`. */
export class PooledConnection {
  readonly #client: pg.ClientBase;
  readonly #preparesStatements: boolean;
  readonly #putBack: (isUsable: boolean) => void;
  #hasFailed = false;
  #isReleased = false;
  #cancelling: Promise<void> | undefined;

  /** @param putBack called once, with whether the connection is good for somebody else. */
  constructor(client: pg.ClientBase, preparesStatements: boolean, putBack: (isUsable: boolean) => void) {
    this.#client = client;
    this.#preparesStatements = preparesStatements;
    this.#putBack = putBack;
  }

  /**
   * Runs one statement and gives its result.
   *
   * When `signal` aborts, the statement is cancelled in Postgres, and the promise settles with undefined when the
   * connection is free again: nobody waits for the rows any more.
   *
   * @param name of a statement that is parsed once a connection, where the settings have prepared statements; it belongs to its text alone.
   * @throws what translateDriverError makes of the driver's error.
   */
  async query(
    text: string,
    parameters: readonly unknown[],
    signal?: AbortSignal,
    name?: string,
  ): Promise<pg.QueryResult | undefined> {
    // A cancel request names the backend, not the query: it must have been delivered before the next query starts,
    // such as the rollback after a cancelled query in a transaction.
    await this.#cancelling;
    const values = parameters as unknown[];
    const running = this.#client.query(
      this.#preparesStatements && name !== undefined ? { name, text, values } : { text, values },
    );
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

  /** Puts the connection back, or ends it where it failed, is too old, or has to be discarded. Once. */
  release(discard = false): void {
    if (this.#isReleased) throw new Error('the connection has been put back before');
    this.#isReleased = true;
    this.#putBack(!discard && !this.#hasFailed);
  }

  async #settle(running: Promise<pg.QueryResult>): Promise<pg.QueryResult> {
    try {
      return await running;
    } catch (error) {
      if (!leavesConnectionUsable(error)) this.#hasFailed = true;
      throw translateDriverError(error);
    }
  }
}
