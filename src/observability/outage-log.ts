import type { Logger } from '#src/observability/logger.ts';

/** Tells the log once that something fails, and once that it works again, however often it comes and goes in between. */
export class OutageLog {
  readonly #log: Logger;
  readonly #begun: string;
  readonly #ended: string;
  #isOn = false;
  #reportedAt: number | undefined;

  /**
   * @param begun the warning when it begins to fail.
   * @param ended the line when it has worked again for two seconds.
   */
  constructor(log: Logger, begun: string, ended: string) {
    this.#log = log;
    this.#begun = begun;
    this.#ended = ended;
  }

  /** It fails. */
  begin(cause: unknown): void {
    this.#isOn = true;
    if (this.#reportedAt !== undefined) return;
    this.#reportedAt = performance.now();
    this.#log.warn({ err: cause }, this.#begun);
  }

  /** It works. */
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
