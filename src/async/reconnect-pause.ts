import { backoffMs } from '#src/async/backoff.ts';

/**
 * How long to wait before a lost connection is made anew, in milliseconds.
 *
 * Up to 10 ms where it had been up for a while: most often it was ended alone, and the server is there. After that from 50 ms, doubled by
 * each failure, up to 2 s. All with jitter, so that instances that were cut off together do not come back together.
 */
export class ReconnectPause {
  #failures = 0;

  /**
   * A connection has ended, or could not be had.
   *
   * @param lastedMs for how long it was open; 0: it could not be had. One that fails soon after it was opened, again and again, is no better
   *   than that.
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
