import { halfJitterGenerator } from 'cockatiel';

/** In milliseconds. */
export interface BackoffOptions {
  /** The pause before the first retry. */
  readonly initialMs: number;
  readonly maxMs: number;
}

/**
 * The pause before a retry, in milliseconds. It doubles with each failure, and is reduced by up to half by chance, so that callers that failed
 * together do not return together.
 *
 * @param failures the number of failures since the last success, without the first one.
 */
export function backoffMs(failures: number, { initialMs, maxMs }: BackoffOptions): number {
  return halfJitterGenerator(failures, { initialDelay: initialMs, maxDelay: maxMs, ...UNUSED })[0];
}

/** Required by the type, for other generators. */
const UNUSED = { exponent: 2, generator: halfJitterGenerator };

/**
 * The pause before a lost connection is opened again, in milliseconds.
 *
 * It is up to 10 ms for a connection that had been open for a second: most often it was ended alone, and the server is up. After that the
 * pause doubles with each failure, from 50 ms to 2 s. All pauses have jitter, so that instances do not reconnect together.
 */
export class ReconnectPause {
  #failures = 0;

  /**
   * A connection has ended, or could not be opened.
   *
   * @param lastedMs how long it was open; 0: it could not be opened. Less than a second counts as a failure.
   */
  after(lastedMs: number): number {
    if (lastedMs >= STEADY_MS) this.#failures = 0;
    const failures = this.#failures++;
    if (failures === 0) return FIRST_MS * Math.random();
    return backoffMs(failures, { initialMs: SHORTEST_MS, maxMs: LONGEST_MS });
  }
}

const FIRST_MS = 10;
const SHORTEST_MS = 50;
const LONGEST_MS = 2000;
const STEADY_MS = 1000;
