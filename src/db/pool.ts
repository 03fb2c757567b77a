import pg from 'pg';
import type { DatabaseConfig } from '#src/config.ts';
import { COLUMN_TYPES } from '#src/db/column-types.ts';
import {
  DatabaseUnavailableError,
  leavesConnectionUsable,
  PoolExhaustedError,
  translateDriverError,
} from '#src/db/errors.ts';
import { type HeldConnection, HeldConnections } from '#src/db/held-connections.ts';
import { PrimaryClient } from '#src/db/primary-client.ts';
import { PrimaryHost } from '#src/db/primary-host.ts';
import { cancelRunningQuery } from '#src/db/query-cancel.ts';
import { Slots } from '#src/db/slots.ts';
import { TimeLimitError, within } from '#src/resilience/within.ts';

/** A connection that was taken out of the pool, and must be put back by `release`. */
export interface PooledConnection {
  /**
   * Runs one statement and gives its result.
   *
   * When `signal` aborts, the statement is cancelled in Postgres, and the promise settles with undefined when the
   * connection is free again: nobody waits for the rows any more.
   *
   * @param name of a statement that is parsed once a connection, where the settings have prepared statements; it belongs to its text alone.
   * @throws what translateDriverError makes of the driver's error.
   */
  query(
    sql: string,
    parameters: readonly unknown[],
    signal?: AbortSignal,
    name?: string,
  ): Promise<pg.QueryResult | undefined>;
  /** Puts the connection back, or ends it where it failed, is too old, or has to be discarded. */
  release(discard?: boolean): void;
}

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
 * It stands in front of pg's own pool, which waits for ever by default, takes failed clients back, and lets the process
 * die from a backend that ends while its client is in use.
 */
export class ConnectionPool {
  readonly #pool: pg.Pool;
  /**
   * As many as the pool has connections, so that nobody ever waits in pg's own queue, and a few more: so many are opened at once, since a
   * Postgres that has to start many processes takes too long for each. Who waits gets one that is put back, or opened, whichever is first.
   */
  readonly #slots: Slots;
  readonly #open = new Set<pg.PoolClient>();
  readonly #max: number;
  readonly #acquireTimeoutMs: number;
  readonly #maxWaiting: number;
  readonly #lifetimeMs: number;
  readonly #preparesStatements: boolean;
  readonly #expiry = new WeakMap<pg.PoolClient, number>();
  readonly #held: HeldConnections;
  readonly #observer: PoolObserver;

  /** @param database the URL of one server, or what finds the one: it is not ended with the pool. */
  constructor(database: string | PrimaryHost, options: DatabaseConfig, observer: PoolObserver = {}) {
    const host = PrimaryHost.of(database);
    this.#observer = observer;
    this.#held = new HeldConnections(options.leakAfterMs, held => observer.leaked?.(held));
    this.#slots = new Slots(() => Math.min(options.poolMax, this.#open.size + OPENED_AT_ONCE));
    this.#max = options.poolMax;
    this.#acquireTimeoutMs = options.acquireTimeoutMs;
    this.#maxWaiting = options.maxWaiting;
    this.#lifetimeMs = options.lifetimeMs;
    this.#preparesStatements = options.preparedStatements;
    this.#pool = new pg.Pool({
      Client: class extends PrimaryClient {
        constructor(settings?: pg.ClientConfig) {
          super(host, settings ?? {});
        }
      },
      types: COLUMN_TYPES,
      application_name: 'postservice',
      max: options.poolMax,
      connectionTimeoutMillis: options.acquireTimeoutMs,
      idleTimeoutMillis: options.idleTimeoutMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
      statement_timeout: options.statementTimeoutMs,
      lock_timeout: options.lockTimeoutMs,
      idle_in_transaction_session_timeout: options.transactionIdleTimeoutMs,
    });
    // Both are told by the query that fails; without a listener either would end the process.
    this.#pool.on('error', () => {});
    this.#pool.on('remove', client => this.#open.delete(client));
    this.#pool.on('connect', client => {
      this.#open.add(client);
      this.#slots.changed();
      client.on('error', () => {});
      // Jitter, so that connections that were opened together are not replaced together.
      this.#expiry.set(client, performance.now() + this.#lifetimeMs * (1 - Math.random() / 10));
    });
  }

  /** Uses the connections that are open for nothing new: each is ended when it is put back, or would be taken. */
  renew(): void {
    for (const client of this.#open) this.#expiry.set(client, Number.NEGATIVE_INFINITY);
  }

  /** Opens so many connections, or as many as it may have, for those who come later. Settles whatever becomes of them. */
  async open(count: number): Promise<void> {
    const wanted = Array.from({ length: Math.min(count, this.#max) }, () => this.acquire());
    for (const got of await Promise.allSettled(wanted)) if (got.status === 'fulfilled') got.value.release();
  }

  /**
   * Takes a connection, waiting for one no longer than the acquire timeout.
   *
   * @param signal where it aborts, the caller gives its place in the queue up at once.
   * @throws DatabaseUnavailableError where none is free in time, too many wait already, or none can be opened.
   * @throws the signal's reason, where it aborts while the caller waits.
   */
  async acquire(signal?: AbortSignal): Promise<PooledConnection> {
    if (this.#slots.waiting >= this.#maxWaiting) {
      throw new PoolExhaustedError(`more than ${this.#maxWaiting} queries wait for a connection`);
    }
    const startedAt = performance.now();
    try {
      const client = await this.#take(signal);
      const putBack = this.#held.take();
      const release = () => {
        this.#slots.give();
        this.#observer.held?.(putBack());
      };
      return new ClientConnection(client, this.#expiry.get(client) ?? 0, this.#preparesStatements, release);
    } finally {
      this.#observer.waited?.(performance.now() - startedAt);
    }
  }

  async #take(signal: AbortSignal | undefined): Promise<pg.PoolClient> {
    const slot = this.#slots.take({ timeoutMs: this.#acquireTimeoutMs, onTimeout: noneFreeInTime, signal });
    let leftMs = this.#acquireTimeoutMs;
    if (slot !== undefined) {
      const startedAt = performance.now();
      await slot;
      leftMs -= performance.now() - startedAt;
    }
    for (;;) {
      const client = await this.#connect(leftMs);
      if (this.#expiry.get(client) !== Number.NEGATIVE_INFINITY) return client;
      client.release(true);
    }
  }

  /** A connection for who holds a slot, which goes back where there is none in time. */
  async #connect(leftMs: number): Promise<pg.PoolClient> {
    const connecting = this.#pool.connect();
    try {
      // pg's own limit is for who has not waited for a slot before.
      return await (leftMs < this.#acquireTimeoutMs ? within(Math.max(leftMs, 0), connecting) : connecting);
    } catch (error) {
      if (!(error instanceof TimeLimitError)) {
        this.#slots.give();
        throw translateDriverError(error);
      }
      connecting
        .then(
          client => client.release(),
          () => {},
        )
        .finally(() => this.#slots.give());
      throw noConnectionInTime();
    }
  }

  get state(): PoolState {
    return { total: this.#pool.totalCount, idle: this.#pool.idleCount, waiting: this.#slots.waiting };
  }

  /** The connections that callers have, the one that is held for the longest first. */
  get heldConnections(): HeldConnection[] {
    return this.#held.list();
  }

  /** Closes every connection, when each has been put back. */
  async end(): Promise<void> {
    this.#held.end();
    await this.#pool.end();
  }
}

class ClientConnection implements PooledConnection {
  readonly #client: pg.PoolClient;
  readonly #expiresAt: number;
  readonly #preparesStatements: boolean;
  readonly #released: () => void;
  #failed = false;
  #cancelling: Promise<void> | undefined;

  constructor(client: pg.PoolClient, expiresAt: number, preparesStatements: boolean, released: () => void) {
    this.#client = client;
    this.#expiresAt = expiresAt;
    this.#preparesStatements = preparesStatements;
    this.#released = released;
  }

  async query(text: string, parameters: readonly unknown[], signal?: AbortSignal, name?: string) {
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

  release(discard = false) {
    this.#client.release(discard || this.#failed || performance.now() > this.#expiresAt);
    this.#released();
  }

  async #settle(running: Promise<pg.QueryResult>): Promise<pg.QueryResult> {
    try {
      return await running;
    } catch (error) {
      if (!leavesConnectionUsable(error)) this.#failed = true;
      throw translateDriverError(error);
    }
  }
}

function noneFreeInTime(): Error {
  return new PoolExhaustedError('no connection to the database became free in time');
}

function noConnectionInTime(): Error {
  return new DatabaseUnavailableError('no connection to the database was opened in time');
}

const OPENED_AT_ONCE = 3;
