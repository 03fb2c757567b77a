import {
  BrokenCircuitError,
  CircuitState,
  circuitBreaker,
  handleWhen,
  type IBackoff,
  type IBackoffFactory,
  type IBreaker,
} from 'cockatiel';

/**
 * Keeps calls from a dependency that fails: after too many failures (open) calls fail at once, until one is let through to see
 * (half open), whose outcome decides.
 *
 * The state machine is cockatiel's. Its own measure of failures and its times are not used: they follow the wall clock, so that one
 * that is set back would keep a circuit open for as long; and a second caller would wait for the outcome of the first one's try.
 */
export class CircuitBreaker {
  readonly #policy: ReturnType<typeof circuitBreaker>;

  constructor(options: CircuitBreakerOptions) {
    const { isFailure, openMs, now, onStateChange } = options;
    this.#policy = circuitBreaker(handleWhen(isFailure), {
      halfOpenAfter: new MonotonicPause(openMs, now),
      breaker: new FailureRate(options),
    });
    this.#policy.onStateChange(state => onStateChange?.(STATES[state]));
  }

  get state(): CircuitBreakerState {
    return STATES[this.#policy.state];
  }

  /**
   * Does the work, unless the circuit is open.
   *
   * @throws BrokenCircuitError without doing it, where the circuit is open, or half open with a try under way.
   */
  execute<T>(work: () => Promise<T>): Promise<T> {
    if (this.#policy.state === CircuitState.HalfOpen) return Promise.reject(new BrokenCircuitError());
    return this.#policy.execute(work);
  }
}

export interface CircuitBreakerOptions {
  /** Which errors say that the dependency fails; others, such as a caller's own abort, count for nothing while it is closed. */
  readonly isFailure: (error: unknown) => boolean;
  /** Opens where this share of the calls of `windowMs` has failed, of `minCalls` or more. */
  readonly failureRate: number;
  readonly windowMs: number;
  readonly minCalls: number;
  /** Opens after so many failures without a success between them, however long they take: for a dependency that hangs. */
  readonly consecutiveFailures: number;
  /** How long it is open before a call is let through, in milliseconds. */
  readonly openMs: number;
  /** Milliseconds of a clock that never jumps. */
  readonly now: () => number;
  readonly onStateChange?: (state: CircuitBreakerState) => void;
}

export type CircuitBreakerState = 'closed' | 'open' | 'half-open';

/** Counts outcomes in the slices of a window, of which the oldest is always the next to be used anew. */
class FailureRate implements IBreaker {
  /** Of interest only to those who store a breaker. */
  readonly state = undefined;
  readonly #options: CircuitBreakerOptions;
  #slices = newSlices();
  #consecutive = 0;

  constructor(options: CircuitBreakerOptions) {
    this.#options = options;
  }

  success(state: CircuitState): void {
    if (state === CircuitState.HalfOpen) this.#slices = newSlices();
    this.#consecutive = 0;
    this.#slice().successes++;
  }

  failure(state: CircuitState): boolean {
    this.#consecutive++;
    this.#slice().failures++;
    if (state !== CircuitState.Closed) return true;
    const { minCalls, failureRate, consecutiveFailures } = this.#options;
    if (this.#consecutive >= consecutiveFailures) return true;
    const oldest = this.#sliceNumber() - SLICES;
    const counted = this.#slices.filter(({ number }) => number > oldest);
    const failures = counted.reduce((sum, slice) => sum + slice.failures, 0);
    const calls = counted.reduce((sum, slice) => sum + slice.successes, failures);
    return calls >= minCalls && failures >= calls * failureRate;
  }

  #slice(): Slice {
    const number = this.#sliceNumber();
    const slice = this.#slices[number % SLICES] as Slice;
    if (slice.number !== number) Object.assign(slice, { number, failures: 0, successes: 0 });
    return slice;
  }

  #sliceNumber(): number {
    const { now, windowMs } = this.#options;
    return Math.floor((now() / windowMs) * SLICES);
  }
}

/** Says of its duration, which is compared with what the wall clock says has passed, that it is over or that it never ends. */
class MonotonicPause implements IBackoffFactory<object>, IBackoff<object> {
  readonly #pauseMs: number;
  readonly #now: () => number;
  readonly #endsAt: number;

  constructor(pauseMs: number, now: () => number, endsAt = 0) {
    this.#pauseMs = pauseMs;
    this.#now = now;
    this.#endsAt = endsAt;
  }

  next(): MonotonicPause {
    return new MonotonicPause(this.#pauseMs, this.#now, this.#now() + this.#pauseMs);
  }

  get duration(): number {
    return this.#now() < this.#endsAt ? Number.POSITIVE_INFINITY : Number.NEGATIVE_INFINITY;
  }
}

interface Slice {
  number: number;
  failures: number;
  successes: number;
}

function newSlices(): Slice[] {
  return Array.from({ length: SLICES }, () => ({ number: -1, failures: 0, successes: 0 }));
}

const SLICES = 10;
const STATES: Readonly<Record<CircuitState, CircuitBreakerState>> = {
  [CircuitState.Closed]: 'closed',
  [CircuitState.Open]: 'open',
  [CircuitState.HalfOpen]: 'half-open',
  [CircuitState.Isolated]: 'open',
};
