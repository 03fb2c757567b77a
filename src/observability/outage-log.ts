import type { Logger } from '#src/observability/logger.ts';

/** Logs the beginning and the end of an outage once each, even if the dependency flaps in between. */
export class OutageLog {
  readonly #log: Logger;
  readonly #begun: string;
  readonly #ended: string;
  #isOn = false;
  #reportedAt: number | undefined;

  /**
   * @param begun the warning at the first failure.
   * @param ended the line two seconds after the recovery, if it lasts.
   */
  constructor(log: Logger, begun: string, ended: string) {
    this.#log = log;
    this.#begun = begun;
    this.#ended = ended;
  }

  /** Must be called at each failure. */
  begin(cause: unknown): void {
    this.#isOn = true;
    if (this.#reportedAt !== undefined) return;
    this.#reportedAt = performance.now();
    this.#log.warn({ err: cause }, this.#begun);
  }

  /** Must be called at each success. */
  end(): void {
    if (!this.#isOn) return;
    this.#isOn = false;
    setTimeout(() => this.#report(), SETTLED_MS).unref();
  }

  #report(): void {
    if (this.#isOn || this.#reportedAt === undefined) return;
    const outageMs = Math.round(performance.now() - this.#reportedAt - SETTLED_MS);
    this.#reportedAt = undefined;
    this.#log.info({ outageMs }, this.#ended);
  }
}

const SETTLED_MS = 2000;
