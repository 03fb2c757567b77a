import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '#src/config/config.ts';
import type { Listener } from '#src/http/listener/listener.ts';
import type { PostWatches } from '#src/posts/feed/post-watches.ts';
import { unavailable } from '#src/rpc/error-mapping.ts';
import type { HealthService } from '#src/rpc/health.ts';

/** Ends the service without losing a call: first balancers stop sending calls, then the running ones finish. */
export class Shutdown {
  readonly #config: Pick<Config, 'shutdownDelayMs' | 'shutdownGraceMs'>;
  readonly #graceEnded = new AbortController();
  #hasBegun = false;

  constructor(config: Pick<Config, 'shutdownDelayMs' | 'shutdownGraceMs'>) {
    this.#config = config;
  }

  get hasBegun(): boolean {
    return this.#hasBegun;
  }

  /** Aborts with UNAVAILABLE (SHUTTING_DOWN) at the end of the grace, for calls that still run. */
  get signal(): AbortSignal {
    return this.#graceEnded.signal;
  }

  /** Reports not ready, waits for `shutdownDelayMs`, and closes the port. Calls have `shutdownGraceMs` to finish. */
  async drain(listener: Listener, health: HealthService, watches: PostWatches): Promise<void> {
    const { shutdownDelayMs, shutdownGraceMs } = this.#config;
    this.#hasBegun = true;
    health.set(false);
    await sleep(shutdownDelayMs);
    health.stop();
    watches.stop();
    const error = unavailable('the server is shutting down', 'SHUTTING_DOWN');
    const graceEnd = setTimeout(() => this.#graceEnded.abort(error), shutdownGraceMs);
    await listener.close(shutdownGraceMs + LAST_ANSWER_MS);
    clearTimeout(graceEnd);
  }
}

/** How long the error SHUTTING_DOWN may take to reach a client that reads. */
const LAST_ANSWER_MS = 500;
