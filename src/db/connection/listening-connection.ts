import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { ReconnectPause } from '#src/async/backoff.ts';
import { COLUMN_TYPES } from '#src/db/column-types.ts';
import { PrimaryClient } from '#src/db/connection/primary-client.ts';
import { PrimaryHost } from '#src/db/connection/primary-host.ts';

/**
 * One connection that listens for notifications, and reconnects when it is lost.
 *
 * Notifications during a loss are missed, so a listener must check for changes at each `onConnect`.
 */
export class ListeningConnection implements AsyncDisposable {
  readonly #host: PrimaryHost;
  readonly #options: ListeningOptions;
  readonly #ended = new AbortController();
  readonly #running: Promise<void>;
  #client: PrimaryClient | undefined;
  #last: Promise<unknown> = Promise.resolve();

  /** @param database the URL of one server, or the host that finds it. */
  constructor(database: string | PrimaryHost, options: ListeningOptions) {
    this.#host = PrimaryHost.of(database);
    this.#options = options;
    this.#running = this.#run();
  }

  /**
   * Runs a statement on this connection, after those before it.
   *
   * @param name of a prepared statement, if the settings allow them. A name must always have the same text.
   * @throws if there is no connection, or no answer within the time limit; then it reconnects.
   */
  query<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[], name?: string): Promise<Row[]> {
    const rows = this.#last.then(() => this.#query<Row>({ text, values: [...values], name }));
    this.#last = rows.catch(() => {});
    return rows;
  }

  /** Ends the connection for this reason and reconnects, because another server is wanted. */
  drop(reason: Error): void {
    this.#client?.emit('error', reason);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ended.abort();
    await this.#running;
  }

  async #query<Row extends pg.QueryResultRow>({ name, ...statement }: NamedQuery): Promise<Row[]> {
    const client = this.#client;
    if (client === undefined) throw new Error('there is no connection to the database');
    const isPrepared = this.#options.preparesStatements && name !== undefined;
    return (await this.#inTime(client, client.query<Row>(isPrepared ? { ...statement, name } : statement))).rows;
  }

  /** Cuts a connection that does not answer in time, which makes the answer fail. */
  async #inTime<T>(client: PrimaryClient, answer: Promise<T>): Promise<T> {
    const timer = setTimeout(() => client.cut(), this.#options.timeoutMs);
    try {
      return await answer;
    } finally {
      clearTimeout(timer);
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#ended;
    const pause = new ReconnectPause();
    while (!signal.aborted) {
      const place = await this.#host.known(signal).catch(() => undefined);
      if (place === undefined || signal.aborted) return;
      let openedAt: number | undefined;
      try {
        await this.#listen(() => {
          openedAt = performance.now();
        });
      } catch (error) {
        if (!signal.aborted) this.#options.onLost(error);
      }
      const lastedMs = openedAt === undefined ? 0 : performance.now() - openedAt;
      const waking = AbortSignal.any([signal, place.left]);
      await sleep(pause.after(lastedMs), undefined, { signal: waking }).catch(() => {});
    }
  }

  /** Connects, listens, and settles when the connection has ended. */
  async #listen(onConnect: () => void): Promise<void> {
    const client = new PrimaryClient(this.#host, {
      types: COLUMN_TYPES,
      application_name: 'postservice feed',
      // It repeats a few statements, which take twice as long if they are planned each time. Its writes, mostly notifications, need not wait
      // for a disk.
      options: '-c plan_cache_mode=force_generic_plan -c synchronous_commit=off',
      connectionTimeoutMillis: this.#options.timeoutMs,
      keepAlive: true,
      keepAliveInitialDelayMillis: 10_000,
    });
    const lost = new Promise<Error>(resolve => {
      client.on('error', resolve);
      client.on('end', () => resolve(new Error('the connection has ended')));
    });
    const { signal } = this.#ended;
    const cut = () => client.cut();
    signal.addEventListener('abort', cut, { once: true });
    try {
      await client.connect();
      client.on('notification', () => this.#options.onNotify());
      // A pooler accepts the connection, and queues the statement until it has a server.
      await this.#inTime(client, client.query(`listen ${pg.escapeIdentifier(this.#options.channel)}`));
      signal.throwIfAborted();
      this.#client = client;
      onConnect();
      this.#options.onConnect();
      throw await lost;
    } finally {
      this.#client = undefined;
      signal.removeEventListener('abort', cut);
      cut();
    }
  }
}

export interface ListeningOptions {
  readonly channel: string;
  /** The time limit of connecting and of each statement, in milliseconds. */
  readonly timeoutMs: number;
  /** Whether statements with a name are prepared, which some poolers do not support. */
  readonly preparesStatements: boolean;
  /** It listens now, or again after a loss. */
  readonly onConnect: () => void;
  readonly onNotify: () => void;
  /** It was lost, or could not be opened, and is tried again. */
  readonly onLost: (error: unknown) => void;
}

interface NamedQuery {
  readonly text: string;
  readonly values: unknown[];
  readonly name: string | undefined;
}
