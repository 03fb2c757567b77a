/**
 * How many calls a dependency gets at once: as many as it does without taking longer. Of the gradient kind, as Netflix has it
 * (https://github.com/Netflix/concurrency-limits): the time that calls take now is compared with what they take where nothing queues up;
 * where it is longer, they do queue up there, and the limit is lowered.
 *
 * Unlike Gradient2's, the time to compare with does not follow the times of a limit that is used up, which are what our own queue makes of
 * them: it would grow for ever, and the limit with it. It rises only while the limit is not used, or at its minimum.
 */
export class AdaptiveLimit {
  readonly #options: AdaptiveLimitOptions;
  #limit: number;
  #unloadedMs: number | undefined;
  #windowStart: number;
  #sumMs = 0;
  #calls = 0;
  #mostInFlight = 0;

  constructor(options: AdaptiveLimitOptions) {
    this.#options = options;
    this.#limit = options.initial;
    this.#windowStart = options.now();
  }

  /** A whole number, from `min` to `max`. */
  get limit(): number {
    return Math.floor(this.#limit);
  }

  /** How long a call takes where nothing queues up, in milliseconds; 0 until that is known. */
  get unloadedMs(): number {
    return this.#unloadedMs ?? 0;
  }

  /**
   * A call has ended that the dependency has answered.
   *
   * @param inFlight how many there were when it began, itself among them.
   */
  ended(durationMs: number, inFlight: number): void {
    this.#sumMs += durationMs;
    this.#calls++;
    if (inFlight > this.#mostInFlight) this.#mostInFlight = inFlight;
    const now = this.#options.now();
    if (this.#calls < WINDOW_CALLS || now - this.#windowStart < WINDOW_MS) return;
    this.#adapt(this.#sumMs / this.#calls);
    this.#windowStart = now;
    this.#sumMs = 0;
    this.#calls = 0;
    this.#mostInFlight = 0;
  }

  #adapt(recentMs: number): void {
    const { min, max } = this.#options;
    const isUsed = this.#mostInFlight >= this.#limit / 2;
    const unloadedMs = this.#unloadedMs ?? recentMs;
    const follow = recentMs < unloadedMs ? FALL : !isUsed || this.#limit <= min ? RISE : 0;
    this.#unloadedMs = unloadedMs + (recentMs - unloadedMs) * follow;
    const gradient = Math.max(0.5, Math.min(1, (TOLERANCE * this.#unloadedMs) / Math.max(recentMs, 1e-3)));
    // Where fewer calls come than the limit lets through, nothing is learned of what is possible.
    if (gradient === 1 && !isUsed) return;
    const next = this.#limit * gradient + Math.sqrt(this.#limit);
    const smoothed = this.#limit + (next - this.#limit) * SMOOTHING;
    this.#limit = Math.max(min, Math.min(max, smoothed));
  }
}

export interface AdaptiveLimitOptions {
  readonly initial: number;
  readonly min: number;
  readonly max: number;
  /** Milliseconds of a clock that never jumps. */
  readonly now: () => number;
}

/** Both, so that neither a single slow call nor a quiet second decides. */
const WINDOW_CALLS = 20;
const WINDOW_MS = 100;
/** The share of a difference that the unloaded time follows, each window. */
const FALL = 0.2;
const RISE = 0.05;
/** Times may vary by so much, as a mix of calls does, before that counts as a queue. */
const TOLERANCE = 2;
const SMOOTHING = 0.2;
