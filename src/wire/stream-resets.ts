/**
 * Counts the streams of one HTTP/2 connection that its client reset before they were answered, and detects a flood (rapid reset,
 * CVE-2023-44487).
 *
 * A cancelled call is legitimate and costs little. A client with short deadlines, or with many callers, may cancel hundreds a second for
 * ever. Only thousands a second are nothing but work.
 */
export class StreamResets {
  readonly #now: () => number;
  #tokens: number = STREAM_RESETS.burst;
  #refilledAt: number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#refilledAt = now();
  }

  /** Counts a reset. @returns whether it is one too many. */
  count(): boolean {
    if (--this.#tokens >= 0) return false;
    const now = this.#now();
    const refill = ((now - this.#refilledAt) / 1000) * STREAM_RESETS.perSecond;
    this.#refilledAt = now;
    this.#tokens = Math.min(STREAM_RESETS.burst, refill) - 1;
    return this.#tokens < 0;
  }
}

/** Twice the resets of a client whose calls all end by their deadlines, and all that it can cancel while we are busy for a second. */
export const STREAM_RESETS = { burst: 1000, perSecond: 1000 } as const;
