import type { DatabaseConfig } from '#src/config/config.ts';
import { COLUMN_TYPES } from '#src/db/column-types.ts';
import { PrimaryClient } from '#src/db/connection/primary-client.ts';
import { PrimaryHost } from '#src/db/connection/primary-host.ts';
import { DatabaseUnavailableError, PoolExhaustedError, translateDriverError } from '#src/db/errors.ts';
import { CallerLine } from '#src/db/pool/caller-line.ts';
import { type HeldConnection, LeakDetector } from '#src/db/pool/leak-detector.ts';
import { PooledConnection } from '#src/db/pool/pooled-connection.ts';
import type { NamedStatement, RowShape } from '#src/db/prepared-query.ts';

/** Who hears of what a pool does; all times in milliseconds. */
export interface PoolObserver {
  /** A caller has its connection, or none, after this time. */
  readonly waited?: (ms: number) => void;
  /** A connection was put back, after it was held for so long. */
  readonly held?: (ms: number) => void;
  /** A connection is held for longer than it should be. */
  readonly leaked?: (held: HeldConnection) => void;
}

/** What the pool is doing, in numbers of connections and of callers. */
export interface PoolState {
  readonly total: number;
  readonly idle: number;
  readonly waiting: number;
}

/**
 * Connections to one Postgres: bounded in number, in wait and in life.
 *
 * Callers wait in one line, and the first of them gets whatever comes first: a connection that is put back, or a new one. pg's own pool
 * binds a caller to the connection that is opened for it. That may take long on a busy machine, while others are put back.
 */
export class ConnectionPool {
  readonly #host: PrimaryHost;
  readonly #options: DatabaseConfig;
  readonly #observer: PoolObserver;
  readonly #held: LeakDetector;
  readonly #line = new CallerLine<Open>();
  /** The last one was used last: the others may become old enough to be closed. */
  readonly #idle: Open[] = [];
  readonly #open = new Set<Open>();
  readonly #opening = new Set<PrimaryClient>();
  readonly #closing = new Set<Promise<unknown>>();
  readonly #sweep: NodeJS.Timeout;
  /** Connections of an earlier one are used for nothing new. */
  #generation = 0;
  #retry: NodeJS.Timeout | undefined;
  #whenEmpty: (() => void) | undefined;
  #isEnded = false;

  /** @param database the URL of one server, or what finds the one: it is not ended with the pool. */
  constructor(database: string | PrimaryHost, options: DatabaseConfig, observer: PoolObserver = {}) {
    this.#host = PrimaryHost.of(database);
    this.#options = options;
    this.#observer = observer;
    this.#held = new LeakDetector(options.leakAfterMs, held => observer.leaked?.(held));
    this.#sweep = setInterval(() => this.#closeIdle(), options.idleTimeoutMs / 4).unref();
  }

  /** Uses the connections that are open for nothing new: each is ended now, or when it is put back. */
  renew(): void {
    this.#generation++;
    for (const idle of this.#idle.splice(0)) this.#close(idle);
  }

  /** Opens so many connections, or as many as it may have, for those who come later. Settles whatever becomes of them. */
  async open(count: number): Promise<void> {
    const wanted = Array.from({ length: Math.min(count, this.#options.poolMax) }, () => this.acquire());
    for (const got of await Promise.allSettled(wanted)) if (got.status === 'fulfilled') got.value.release();
  }

  /**
   * Takes a connection, waiting for one no longer than the acquire timeout.
   *
   * @param signal where it aborts, the caller gives its place in the line up at once.
   * @throws PoolExhaustedError where none is free in time, or too many wait already; DatabaseUnavailableError where none can be opened.
   * @throws the signal's reason, where it aborts while the caller waits.
   */
  async acquire(signal?: AbortSignal): Promise<PooledConnection> {
    return this.#acquire(signal, new Error('taken here'));
  }

  /**
   * Runs one statement over a connection that it takes and puts back, and gives its rows. An aborted signal cancels it in Postgres.
   *
   * @param statement its name belongs to its text alone: where the settings have prepared statements, Postgres parses it once a connection.
   * @throws what `acquire` does, and what translateDriverError makes of the driver's error; the signal's reason.
   */
  async run<Row extends object>(
    statement: NamedStatement,
    values: readonly unknown[],
    signal?: AbortSignal,
  ): Promise<readonly Row[]> {
    const connection = await this.#acquire(signal);
    try {
      const rows = await connection.run<Row>(statement, values, signal);
      if (rows === undefined) throw signal?.reason;
      return rows;
    } finally {
      connection.release();
    }
  }

  /** @param taker whose stack is shown where the connection is held for too long; undefined: it is always put back. */
  async #acquire(signal: AbortSignal | undefined, taker?: Error): Promise<PooledConnection> {
    if (this.#isEnded) throw closed();
    const startedAt = performance.now();
    try {
      const taken = this.#takeIdle() ?? (await this.#wait(signal));
      const putBack = this.#held.take(taker);
      return new PooledConnection(taken.client, taken.shapes, isUsable => {
        this.#observer.held?.(putBack());
        this.#takeBack(taken, isUsable);
      });
    } finally {
      this.#observer.waited?.(performance.now() - startedAt);
    }
  }

  get state(): PoolState {
    return { total: this.#open.size + this.#opening.size, idle: this.#idle.length, waiting: this.#line.length };
  }

  /** The connections that callers have, the one that is held for the longest first. */
  get heldConnections(): HeldConnection[] {
    return this.#held.list();
  }

  /**
   * Refuses who waits, and closes every connection, when each has been put back. What runs has a moment to end: a statement whose server does
   * not answer would keep the process.
   */
  async end(): Promise<void> {
    this.#isEnded = true;
    clearInterval(this.#sweep);
    clearTimeout(this.#retry);
    while (this.#line.refuseFirst(closed()));
    for (const client of this.#opening) client.cut();
    for (const idle of this.#idle.splice(0)) this.#close(idle);
    if (this.#open.size + this.#opening.size > 0) {
      const patience = setTimeout(() => {
        for (const { client } of this.#open) client.cut();
      }, END_TIMEOUT_MS);
      await new Promise<void>(resolve => {
        this.#whenEmpty = resolve;
      });
      clearTimeout(patience);
    }
    this.#held.end();
    await Promise.all(this.#closing);
  }

  #takeIdle(): Open | undefined {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (performance.now() < idle.expiresAt) return idle;
      this.#close(idle);
    }
    return undefined;
  }

  async #wait(signal: AbortSignal | undefined): Promise<Open> {
    const { maxWaiting, poolMax } = this.#options;
    // A caller for whom a connection can be opened does not wait for a turn.
    if (this.#line.length >= maxWaiting + poolMax - this.#open.size) {
      throw new PoolExhaustedError(`more than ${maxWaiting} queries wait for a connection`);
    }
    const onTimeout = () => (this.#open.size > 0 ? noneFreeInTime() : noneOpenedInTime());
    const waiting = this.#line.wait({ timeoutMs: this.#options.acquireTimeoutMs, onTimeout, signal });
    this.#openMore();
    return waiting;
  }

  #takeBack(connection: Open, isUsable: boolean): void {
    const isCurrent = connection.generation === this.#generation && performance.now() < connection.expiresAt;
    if (isUsable && isCurrent && !this.#isEnded && this.#open.has(connection)) this.#offer(connection);
    else this.#close(connection);
  }

  /** To who has waited longest, or to who comes next. */
  #offer(connection: Open): void {
    if (this.#line.give(connection)) return;
    connection.idleSince = performance.now();
    this.#idle.push(connection);
  }

  /** Opens as many as callers wait for: a few at once, since a Postgres that starts many processes together takes too long for each. */
  #openMore(): void {
    if (this.#isEnded || this.#retry !== undefined) return;
    const { poolMax } = this.#options;
    while (
      this.#opening.size < Math.min(this.#line.length, OPENED_AT_ONCE) &&
      this.#open.size + this.#opening.size < poolMax
    ) {
      void this.#openOne();
    }
  }

  async #openOne(): Promise<void> {
    const generation = this.#generation;
    const client = this.#newClient();
    this.#opening.add(client);
    try {
      await client.connect();
      this.#opening.delete(client);
      // Jitter, so that connections that were opened together are not replaced together.
      const expiresAt = performance.now() + this.#options.lifetimeMs * (1 - Math.random() / 10);
      const shapes = this.#options.preparedStatements ? new Map() : undefined;
      const opened: Open = { client, shapes, generation, expiresAt, idleSince: 0 };
      this.#open.add(opened);
      client.once('end', () => this.#lost(opened));
      if (this.#isEnded || generation !== this.#generation) this.#close(opened);
      else this.#offer(opened);
    } catch (error) {
      this.#opening.delete(client);
      this.#couldNotOpen(error);
    }
    this.#openMore();
    this.#noteEmpty();
  }

  #newClient(): PrimaryClient {
    const { statementTimeoutMs, lockTimeoutMs, transactionIdleTimeoutMs, acquireTimeoutMs } = this.#options;
    return new PrimaryClient(this.#host, {
      types: COLUMN_TYPES,
      application_name: 'postservice',
      connectionTimeoutMillis: Math.max(acquireTimeoutMs, OPEN_TIMEOUT_MS),
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      statement_timeout: statementTimeoutMs,
      lock_timeout: lockTimeoutMs,
      idle_in_transaction_session_timeout: transactionIdleTimeoutMs,
    });
  }

  /** While there are others, they may be put back; else nobody waits for the next attempt who has waited for this one. */
  #couldNotOpen(error: unknown): void {
    if (this.#open.size === 0) this.#line.refuseFirst(translateDriverError(error));
    else if (!this.#isEnded)
      this.#retry = setTimeout(() => {
        this.#retry = undefined;
        this.#openMore();
      }, RETRY_MS).unref();
  }

  #lost(connection: Open): void {
    if (!this.#open.delete(connection)) return;
    const place = this.#idle.indexOf(connection);
    if (place >= 0) this.#idle.splice(place, 1);
    this.#openMore();
    this.#noteEmpty();
  }

  /** A server that is frozen says no goodbye: it is not waited for. */
  #close(connection: Open): void {
    const { client } = connection;
    const patience = setTimeout(() => client.cut(), END_TIMEOUT_MS).unref();
    const closing = client.end().catch(() => {});
    this.#closing.add(closing);
    void closing.finally(() => {
      clearTimeout(patience);
      this.#closing.delete(closing);
    });
    this.#lost(connection);
  }

  #closeIdle(): void {
    const since = performance.now() - this.#options.idleTimeoutMs;
    while (this.#idle[0] !== undefined && this.#idle[0].idleSince < since) this.#close(this.#idle[0]);
  }

  #noteEmpty(): void {
    if (this.#open.size + this.#opening.size === 0) this.#whenEmpty?.();
  }
}

interface Open {
  readonly client: PrimaryClient;
  /** Of the statements that it has prepared; undefined: it prepares none. */
  readonly shapes: Map<string, RowShape> | undefined;
  readonly generation: number;
  readonly expiresAt: number;
  idleSince: number;
}

function noneFreeInTime(): Error {
  return new PoolExhaustedError('no connection to the database became free in time');
}

function noneOpenedInTime(): Error {
  return new DatabaseUnavailableError('no connection to the database was opened in time');
}

function closed(): Error {
  return new DatabaseUnavailableError('the connections to the database have been closed');
}

const OPENED_AT_ONCE = 3;
/** Callers wait for less, but what they have waited for is there for those who come later. */
const OPEN_TIMEOUT_MS = 1000;
/** As long as a server may take to end a connection, and what still runs over it when the pool ends. */
const END_TIMEOUT_MS = 1000;
/** Between attempts that fail while others are open, as where Postgres has no connection to spare. */
const RETRY_MS = 50;
