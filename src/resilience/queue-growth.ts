/**
 * Tells a queue that keeps growing from one that is only long.
 *
 * Callers that each wait for an answer fill a queue up to their number, where it stays. That is not overload, however long the queue is.
 * If calls come faster than they end, the queue becomes longer than before, again and again.
 * So this counts windows of time in which the queue was longer than in all windows since it was last empty.
 * Short windows detect a flood at once. Long ones detect a load that is only some percent too high.
 */
export class QueueGrowth {
  readonly #short: Windows;
  readonly #long: Windows;

  /** @param now a monotonic clock in milliseconds. */
  constructor(now: number) {
    this.#short = new Windows({ ms: 30, most: SHORT_LASTING }, now);
    this.#long = new Windows({ ms: 200, most: LONG_LASTING }, now);
  }

  /** The queue grew lately, for longer than a few callers take that arrive together. */
  get isGrowing(): boolean {
    return this.#short.rises >= SHORT_GROWING || this.#long.rises >= LONG_LASTING;
  }

  /** The queue has grown for half a second, or slowly for 0.8 s. Callers that began together would be in it by now. */
  get isLasting(): boolean {
    return this.#short.rises >= SHORT_LASTING || this.#long.rises >= LONG_LASTING;
  }

  /** The length of the queue now. Must be called for each change. */
  observe(queued: number, now: number): void {
    if (queued === 0) {
      this.#short.restart(0, now, 0);
      this.#long.restart(0, now, 0);
      return;
    }
    this.#short.observe(queued, now);
    this.#long.observe(queued, now);
  }

  /** Measures again after growth: the queue counts as growing, and as lasting once it has grown for 150 ms. */
  restart(queued: number, now: number): void {
    this.#short.restart(queued, now, SHORT_LASTING - SHORT_AGAIN);
    this.#long.restart(queued, now, 0);
  }
}

class Windows {
  readonly #ms: number;
  readonly #most: number;
  #endsAt: number;
  /** The longest queue of the windows before this one. */
  #longestBefore = 0;
  #longest = 0;
  /** The number of windows with growth, less the number without. */
  rises = 0;

  /** @param options.most the highest count, so that the first window without growth shows. */
  constructor({ ms, most }: { readonly ms: number; readonly most: number }, now: number) {
    this.#ms = ms;
    this.#most = most;
    this.#endsAt = now + ms;
  }

  observe(queued: number, now: number): void {
    if (now >= this.#endsAt) this.#end(now);
    if (queued > this.#longest) this.#longest = queued;
  }

  restart(queued: number, now: number, rises: number): void {
    this.#longestBefore = queued;
    this.#longest = queued;
    this.rises = rises;
    this.#endsAt = now + this.#ms;
  }

  #end(now: number): void {
    const hasGrown = this.#longest > this.#longestBefore;
    const quietWindows = Math.floor((now - this.#endsAt) / this.#ms);
    const rises = hasGrown ? Math.min(this.#most, this.rises + 1) : this.rises - 1;
    this.rises = Math.max(0, rises - quietWindows);
    this.#longestBefore = this.#longest;
    this.#endsAt += this.#ms * (quietWindows + 1);
  }
}

const SHORT_GROWING = 3;
const SHORT_LASTING = 16;
const SHORT_AGAIN = 5;
const LONG_LASTING = 4;
