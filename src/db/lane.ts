import { setTimeout as sleep } from 'node:timers/promises';
import { PipelinedConnection, type PipelineOptions } from '#src/db/pipelined-connection.ts';
import { reconnectPauseMs } from '#src/db/reconnect-pause.ts';

export interface LaneOptions extends PipelineOptions {
  /** The connection is replaced after this, less up to a tenth by chance, in milliseconds. */
  readonly lifetimeMs: number;
  /** The connection could not be had, or was lost; it is tried again. Called once an outage. */
  readonly onLost?: ((error: unknown) => void) | undefined;
}

/** Keeps one pipelined connection up: it begins to connect when it is made, and connects again when it is lost. */
export class Lane implements AsyncDisposable {
  readonly #url: string;
  readonly #options: LaneOptions;
  readonly #disposed = new AbortController();
  readonly #running: Promise<void>;
  readonly #opened = Promise.withResolvers<void>();
  #connection: PipelinedConnection | undefined;

  constructor(url: string, options: LaneOptions) {
    this.#url = url;
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

  /** Ends when nobody waits for an answer. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#disposed.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#disposed;
    for (let failures = 0; !signal.aborted; ) {
      const openedAt = performance.now();
      const failure = await this.#connectOnce();
      // One that fails soon after it was opened, again and again, is no better than one that can't be opened.
      if (performance.now() - openedAt > STEADY_MS) failures = 0;
      if (failure === undefined || signal.aborted) continue;
      if (failures === 0) this.#options.onLost?.(failure);
      await sleep(reconnectPauseMs(failures++), undefined, { signal }).catch(() => {});
    }
  }

  /** Connects, and settles when the connection has ended: with what it failed of, if it did. */
  async #connectOnce(): Promise<unknown> {
    const connection = new PipelinedConnection(this.#url, this.#options);
    const close = () => void connection.close();
    this.#disposed.signal.addEventListener('abort', close);
    let lifetime: NodeJS.Timeout | undefined;
    try {
      await connection.open();
      this.#connection = connection;
      this.#opened.resolve();
      lifetime = setTimeout(close, this.#options.lifetimeMs * (1 - Math.random() / 10)).unref();
    } catch {
      // `ended` tells.
    }
    const failure = await connection.ended;
    clearTimeout(lifetime);
    this.#connection = undefined;
    this.#disposed.signal.removeEventListener('abort', close);
    return failure;
  }
}

/** Longer than the longest pause, so that pauses grow as far. */
const STEADY_MS = 10_000;
