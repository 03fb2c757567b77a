import { setTimeout as sleep } from 'node:timers/promises';
import { ReconnectPause } from '#src/async/backoff.ts';
import { PrimaryHost } from '#src/db/connection/primary-host.ts';
import { PipelinedConnection, type PipelineOptions } from '#src/db/pipeline/pipelined-connection.ts';

export interface LaneOptions extends PipelineOptions {
  /** The connection's age at its replacement, reduced by up to a tenth by chance, in milliseconds. */
  readonly lifetimeMs: number;
  /** The connection could not be opened, or was lost. It reconnects. Called once an outage. */
  readonly onLost?: ((error: unknown) => void) | undefined;
}

/** Keeps one pipelined connection open: connects at once, and reconnects after a loss. */
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

  /** Resolves at its first connection, whenever that is. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  /** The connection for statements; undefined while there is none. */
  get connection(): PipelinedConnection | undefined {
    return this.#connection?.usable ? this.#connection : undefined;
  }

  /** Opens a new connection when the present one has answered its statements. */
  renew(): void {
    void this.#connection?.close();
  }

  /** Ends when all statements are answered. */
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

  /** Connects, and resolves when the connection has ended: with its error, if any, and how long it was open. */
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

/** An outage, which is reported once, ends when a connection has been open for this long. */
const STEADY_MS = 10_000;
