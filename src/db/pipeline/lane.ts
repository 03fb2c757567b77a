import { setTimeout as sleep } from 'node:timers/promises';
import { ReconnectPause } from '#src/async/backoff.ts';
import { PrimaryHost } from '#src/db/connection/primary-host.ts';
import { PipelinedConnection, type PipelineOptions } from '#src/db/pipeline/pipelined-connection.ts';

export interface LaneOptions extends PipelineOptions {
  /** The connection is replaced after this, less up to a tenth by chance, in milliseconds. */
  readonly lifetimeMs: number;
  /** The connection could not be had, or was lost; it is tried again. Called once an outage. */
  readonly onLost?: ((error: unknown) => void) | undefined;
}

/** Keeps one pipelined connection up: it begins to connect when it is made, and connects again when it is lost. */
export class Lane implements AsyncDisposable {
  readonly #host: PrimaryHost;
  readonly #options: LaneOptions;
  readonly #disposed = new AbortController();
  readonly #running: Promise<void>;
  readonly #opened = Promise.withResolvers<void>();
  #connection: PipelinedConnection | undefined;

  constructor(database: string | PrimaryHost, options: LaneOptions) {
    this.#host = PrimaryHost.of(database);
    this.#options = options;
    this.#running = this.#run();
  }

  /** Resolves when it is connected for the first time, whenever that is. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  /** The connection to send statements on; undefined while there is none. */
  get connection(): PipelinedConnection | undefined {
    return this.#connection?.usable ? this.#connection : undefined;
  }

  /** Opens a new connection when those who wait for an answer of this one have it. */
  renew(): void {
    void this.#connection?.close();
  }

  /** Ends when nobody waits for an answer. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#disposed;
    const pause = new ReconnectPause();
    let isTold = false;
    while (!signal.aborted) {
      const place = await this.#host.known(signal).catch(() => undefined);
      if (place === undefined || signal.aborted) return;
      const { failure, lastedMs } = await this.#connectOnce();
      if (lastedMs >= STEADY_MS) isTold = false;
      if (failure === undefined || signal.aborted) continue;
      if (!isTold) this.#options.onLost?.(failure);
      isTold = true;
      const waking = AbortSignal.any([signal, place.left]);
      await sleep(pause.after(lastedMs), undefined, { signal: waking }).catch(() => {});
    }
  }

  /** Connects, and settles when the connection has ended: with what it failed of, if it did, and how long it was open. */
  async #connectOnce(): Promise<{ readonly failure: unknown; readonly lastedMs: number }> {
    const connection = new PipelinedConnection(this.#host, this.#options);
    const close = () => void connection.close();
    this.#disposed.signal.addEventListener('abort', close);
    let lifetime: NodeJS.Timeout | undefined;
    let openedAt: number | undefined;
    try {
      await connection.open();
      this.#connection = connection;
      openedAt = performance.now();
      this.#opened.resolve();
      lifetime = setTimeout(close, this.#options.lifetimeMs * (1 - Math.random() / 10)).unref();
    } catch {
      // `ended` tells.
    }
    const failure = await connection.ended;
    clearTimeout(lifetime);
    this.#connection = undefined;
    this.#disposed.signal.removeEventListener('abort', close);
    return { failure, lastedMs: openedAt === undefined ? 0 : performance.now() - openedAt };
  }
}

/** One outage, to who is told of it, is until a connection was open for as long. */
const STEADY_MS = 10_000;
