import type { DatabaseConfig } from '#src/config/config.ts';
import type { PrimaryClient } from '#src/db/connection/primary-client.ts';
import { PrimaryHost } from '#src/db/connection/primary-host.ts';
import { DatabaseUnavailableError, PoolExhaustedError, translateDriverError } from '#src/db/errors.ts';
import { CallerLine } from '#src/db/pool/caller-line.ts';
import { type HeldConnection, LeakDetector } from '#src/db/pool/leak-detector.ts';
import { createPoolClient, END_TIMEOUT_MS, endPoolClient, type PoolClient } from '#src/db/pool/pool-client.ts';
import type { PoolObserver, PoolState } from '#src/db/pool/pool-observer.ts';
import { PooledConnection } from '#src/db/pool/pooled-connection.ts';
import type { NamedStatement } from '#src/db/prepared-query.ts';

/**
 * Connections to one Postgres, bounded in number, waiting time and age.
 *
 * Callers wait in one line. The first gets the next connection, whether released or new. pg's own pool binds a caller to the connection
 * that is opened for it, which may take long on a busy machine, while others are released.
 */
export class ConnectionPool {
  readonly #host: PrimaryHost;
  readonly #options: DatabaseConfig;
  readonly #observer: PoolObserver;
  readonly #held: LeakDetector;
  readonly #line = new CallerLine<PoolClient>();
  /** The most recently used is last, so that the others may become old enough to be closed. */
  readonly #idle: PoolClient[] = [];
  readonly #open = new Set<PoolClient>();
  readonly #opening = new Set<PrimaryClient>();
  readonly #closing = new Set<Promise<unknown>>();
  readonly #sweep: NodeJS.Timeout;
  /** Connections of an earlier generation get no new work. */
  #generation = 0;
  #retry: NodeJS.Timeout | undefined;
  #whenEmpty: (() => void) | undefined;
  #isEnded = false;

  /** @param database the URL of one server, or the host that finds it, which the pool does not end. */
  constructor(database: string | PrimaryHost, options: DatabaseConfig, observer: PoolObserver = {}) {
    this.#host = PrimaryHost.of(database);
    this.#options = options;
    this.#observer = observer;
    this.#held = new LeakDetector(options.leakAfterMs, held => observer.leaked?.(held));
    this.#sweep = setInterval(() => this.#closeIdle(), options.idleTimeoutMs / 4).unref();
  }

  /** Gives open connections no new work. Each is closed now, or at its release. */
  renew(): void {
    this.#generation++;
    for (const idle of this.#idle.splice(0)) this.#close(idle);
  }

  /** Opens connections in advance, up to the pool's size. Always resolves. */
  async open(count: number): Promise<void> {
    const wanted = Array.from({ length: Math.min(count, this.#options.poolMax) }, () => this.acquire());
    for (const got of await Promise.allSettled(wanted)) if (got.status === 'fulfilled') got.value.release();
  }

  /**
   * Takes a connection, and waits at most for the acquire timeout.
   *
   * @param signal when it aborts, the caller leaves the line at once.
   * @throws PoolExhaustedError if none is free in time, or too many callers wait; DatabaseUnavailableError if none can be opened; the
   *   signal's reason.
   */
  async acquire(signal?: AbortSignal): Promise<PooledConnection> {
    return this.#acquire(signal, new Error('taken here'));
  }

  /**
   * Runs one statement over a connection that it takes and releases, and returns its rows. An aborted signal cancels it in Postgres.
   *
   * @param statement its name must always have the same text. If the settings allow prepared statements, each connection parses it once.
   * @throws as `acquire`; the translated error of the driver (translateDriverError); the signal's reason.
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

  /** @param taker whose stack is logged if the connection is held for too long; undefined: the pool itself releases it. */
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

  /** The held connections, the longest held first. */
  get heldConnections(): HeldConnection[] {
    return this.#held.list();
  }

  /**
   * Refuses waiting callers, and closes every connection at its release. Running statements have a moment to end: one on a dead server
   * would keep the process alive.
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

  #takeIdle(): PoolClient | undefined {
    for (let idle = this.#idle.pop(); idle !== undefined; idle = this.#idle.pop()) {
      if (performance.now() < idle.expiresAt) return idle;
      this.#close(idle);
    }
    return undefined;
  }

  async #wait(signal: AbortSignal | undefined): Promise<PoolClient> {
    const { maxWaiting, poolMax } = this.#options;
    // A caller for whom a connection can be opened does not wait for a turn.
    if (this.#line.length >= maxWaiting + poolMax - this.#open.size) {
      throw new PoolExhaustedError(`more than ${maxWaiting} queries wait for a connection`);
    }
    const onTimeout = () =>
      this.#open.size > 0
        ? new PoolExhaustedError('no connection to the database became free in time')
        : new DatabaseUnavailableError('no connection to the database was opened in time');
    const waiting = this.#line.wait({ timeoutMs: this.#options.acquireTimeoutMs, onTimeout, signal });
    this.#openMore();
    return waiting;
  }

  #takeBack(connection: PoolClient, isUsable: boolean): void {
    const isCurrent = connection.generation === this.#generation && performance.now() < connection.expiresAt;
    if (isUsable && isCurrent && !this.#isEnded && this.#open.has(connection)) this.#offer(connection);
    else this.#close(connection);
  }

  /** Gives the connection to the first waiting caller, or keeps it idle. */
  #offer(connection: PoolClient): void {
    if (this.#line.give(connection)) return;
    connection.idleSince = performance.now();
    this.#idle.push(connection);
  }

  /** Opens connections for waiting callers, a few at once, because Postgres takes long if it starts many processes together. */
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
    const client = createPoolClient(this.#host, this.#options);
    this.#opening.add(client);
    try {
      await client.connect();
      this.#opening.delete(client);
      // With jitter, so that connections that were opened together are not replaced together.
      const expiresAt = performance.now() + this.#options.lifetimeMs * (1 - Math.random() / 10);
      const shapes = this.#options.preparedStatements ? new Map() : undefined;
      const opened: PoolClient = { client, shapes, generation, expiresAt, idleSince: 0 };
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

  /** Other connections may be released soon. Without any, the first caller has waited for this attempt, and does not wait for the next. */
  #couldNotOpen(error: unknown): void {
    if (this.#open.size === 0) this.#line.refuseFirst(translateDriverError(error));
    else if (!this.#isEnded)
      this.#retry = setTimeout(() => {
        this.#retry = undefined;
        this.#openMore();
      }, RETRY_MS).unref();
  }

  #lost(connection: PoolClient): void {
    if (!this.#open.delete(connection)) return;
    const place = this.#idle.indexOf(connection);
    if (place >= 0) this.#idle.splice(place, 1);
    this.#openMore();
    this.#noteEmpty();
  }

  #close(connection: PoolClient): void {
    const closing = endPoolClient(connection.client);
    this.#closing.add(closing);
    void closing.finally(() => this.#closing.delete(closing));
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

function closed(): Error {
  return new DatabaseUnavailableError('the connections to the database have been closed');
}

const OPENED_AT_ONCE = 3;
/** The pause after a failed attempt while other connections are open, for example because Postgres has none to spare. */
const RETRY_MS = 50;
