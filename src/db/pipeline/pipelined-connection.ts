import type { Socket } from 'node:net';
import pg from 'pg';
import { COLUMN_TYPES } from '#src/db/column-types.ts';
import { PrimaryClient } from '#src/db/connection/primary-client.ts';
import type { PrimaryHost } from '#src/db/connection/primary-host.ts';
import { leavesConnectionUsable } from '#src/db/errors.ts';
import { type NamedStatement, type Parameter, PreparedQuery, type RowShape } from '#src/db/prepared-query.ts';

/** The connection ended or failed before the statement had an answer. */
export class ConnectionLostError extends Error {
  override readonly name = 'ConnectionLostError';
}

/** All times in milliseconds. */
export interface PipelineOptions {
  readonly statementTimeoutMs: number;
  readonly lockTimeoutMs: number;
  /** Whether statements keep their names, under which Postgres parses and plans them once. */
  readonly named: boolean;
}

/** A statement in flight. */
export interface ReadInFlight {
  /** Drops the rows: `onEnd` is not called. The statement continues, because cancelling it could hit its neighbours. */
  abandon(): void;
}

/**
 * One connection on which statements are sent without waiting for earlier answers. Each is its own transaction, so an error affects only
 * its statement.
 *
 * It is lost at once if anything but a statement fails, or if Postgres owes an answer for longer than a statement may take.
 */
export class PipelinedConnection {
  readonly #client: pg.Client;
  readonly #named: boolean;
  readonly #shapes = new Map<string, RowShape>();
  readonly #ended = Promise.withResolvers<unknown>();
  #usable = false;
  #closing = false;
  #corked = false;
  #failure: unknown;
  #inFlight = 0;
  #awaited = 0;
  #answers = 0;

  constructor(host: PrimaryHost, options: PipelineOptions) {
    this.#named = options.named;
    this.#client = new PrimaryClient(host, {
      pipeline: true,
      types: COLUMN_TYPES,
      application_name: 'postservice',
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      statement_timeout: options.statementTimeoutMs,
      lock_timeout: options.lockTimeoutMs,
    });
    this.#client.on('error', error => this.#fail(error));
    this.#client.on('end', () => this.#ended.resolve(this.#failure));
    this.#watchForStall(options.statementTimeoutMs + STALL_GRACE_MS);
  }

  /** Resolves when it is gone, with its error; undefined if it was closed. By then every statement has ended. */
  get ended(): Promise<unknown> {
    return this.#ended.promise;
  }

  /** Whether it accepts statements. */
  get usable(): boolean {
    return this.#usable;
  }

  /** The number of statements without an answer. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Connects. Must be called once. @throws if that fails, or takes too long. */
  async open(): Promise<void> {
    try {
      await this.#client.connect();
      this.#usable = !this.#closing;
    } catch (error) {
      this.#fail(error);
      throw error;
    }
  }

  /**
   * Sends a statement at the end of this turn of the event loop, together with the others of the turn.
   *
   * @param onEnd gets the rows, or an error: a ConnectionLostError, or Postgres' own.
   */
  send(statement: NamedStatement, parameters: readonly Parameter[], onEnd: ReadEnd): ReadInFlight {
    let waiting = true;
    const stopWaiting = () => {
      if (!waiting) return false;
      waiting = false;
      this.#awaited--;
      return true;
    };
    const sent = this.#named ? statement : { name: '', text: statement.text };
    const read = new PreparedQuery(sent, parameters, this.#shapes, (error, rows) => {
      this.#inFlight--;
      this.#answers++;
      const verdict = error === undefined ? undefined : this.#judge(error);
      if (stopWaiting()) onEnd(verdict, rows);
      if (this.#closing) this.#endIfUnawaited();
    });
    this.#inFlight++;
    this.#awaited++;
    this.#cork();
    this.#client.query(read);
    return {
      abandon: () => {
        if (stopWaiting() && this.#closing) this.#endIfUnawaited();
      },
    };
  }

  /** Accepts no more statements, ends after the last answer, and resolves when it has ended. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#endIfUnawaited();
    this.#usable = false;
    await this.#ended.promise;
  }

  get #socket(): Socket {
    return this.#client.connection.stream as Socket;
  }

  /**
   * One system call for all statements of a turn of the event loop, where pg makes one for each. Not of a tick, because each request has
   * its own.
   */
  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    const socket = this.#socket;
    socket.cork();
    setImmediate(() => {
      this.#corked = false;
      socket.uncork();
    });
  }

  /** The error for waiting statements. An error that is not of one statement ends the connection. */
  #judge(error: unknown): unknown {
    // Without a code, pg has read bytes that are not a message of Postgres.
    const isStatements = error instanceof pg.DatabaseError && error.code !== undefined && leavesConnectionUsable(error);
    if (isStatements && !hasLostStatement(error)) return error;
    this.#fail(error);
    return new ConnectionLostError('the connection was lost before the statement had an answer', { cause: error });
  }

  #fail(error: unknown): void {
    this.#usable = false;
    if (!this.#closing) this.#failure ??= error;
    this.#socket.destroy();
  }

  #endIfUnawaited(): void {
    if (this.#awaited > 0) return;
    if (this.#usable && this.#inFlight === 0) {
      // A goodbye without waiting for an answer, because the server may be frozen.
      void this.#client.end();
      this.#socket.destroySoon();
    } else this.#socket.destroy();
  }

  /** Counted in checks, not by the clock: a process that was stopped itself has not read yet what came meanwhile. */
  #watchForStall(limitMs: number): void {
    let answers = 0;
    let stalledMs = 0;
    const timer = setInterval(() => {
      stalledMs = this.#inFlight > 0 && answers === this.#answers ? stalledMs + LOOK_MS : 0;
      answers = this.#answers;
      if (stalledMs > limitMs) this.#fail(new Error('Postgres does not answer'));
    }, LOOK_MS).unref();
    void this.#ended.promise.then(() => clearInterval(timer));
  }
}

type ReadEnd = (error: unknown, rows: readonly Record<string, unknown>[]) => void;

/**
 * The prepared statement is gone, or has another text or other columns: after a migration, or behind a pooler that moves statements between
 * connections. A new connection prepares it again.
 */
function hasLostStatement({ code, routine }: pg.DatabaseError): boolean {
  return code === '26000' || code === '42P05' || (code === '0A000' && routine === 'RevalidateCachedQuery');
}

const CONNECT_TIMEOUT_MS = 5000;
/** The time for an answer to arrive, beyond the statement's own time limit. */
const STALL_GRACE_MS = 1000;
const LOOK_MS = 250;
