/**
 * Counts the streams of one HTTP/2 connection that its client reset before they were answered, and says when they are a flood (rapid
 * reset, CVE-2023-44487).
 *
 * A cancelled call is legitimate and costs little: a client whose deadlines are short, or that multiplexes many callers, cancels hundreds
 * a second for as long as it likes. Only thousands a second lead to nothing but work.
 */
export class StreamResets {
  readonly #now: () => number;
  #tokens: number = STREAM_RESETS.burst;
  #refilledAt: number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
    this.#refilledAt = now();
  }

  /** Counts one. @returns whether it is one too many. */
  count(): boolean {
    if (--this.#tokens >= 0) return false;
    const now = this.#now();
    const refill = ((now - this.#refilledAt) / 1000) * STREAM_RESETS.perSecond;
    this.#refilledAt = now;
    this.#tokens = Math.min(STREAM_RESETS.burst, refill) - 1;
    return this.#tokens < 0;
  }
}

/** Twice what one client cancels whose every call ends by its deadline, and all that it can cancel while we are busy for a second. */
export const STREAM_RESETS = { burst: 1000, perSecond: 1000 } as const;
