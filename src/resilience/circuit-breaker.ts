import {
  BrokenCircuitError,
  type CircuitBreakerPolicy,
  CircuitState,
  circuitBreaker,
  handleWhenResult,
  type IBackoff,
  type IBackoffFactory,
  type IBreaker,
} from 'cockatiel';

/**
 * Keeps calls from a dependency that fails, or takes too long: after too many failures or slow calls (open) calls fail at once, until
 * one is let through to see (half open), whose outcome decides.
 *
 * The state machine is cockatiel's. Its own measures of failures and its times are not used: it has none of slow calls; it follows the
 * wall clock, so that one that is set back would keep a circuit open for as long; a second caller would wait for the outcome of the first
 * one's try; and a try that its caller gives up would close the circuit.
 */
export class CircuitBreaker {
  readonly #policy: CircuitBreakerPolicy;
  readonly #options: CircuitBreakerOptions;
  /** Those that can become slow, the oldest first. */
  readonly #running = new Set<Running>();

  constructor(options: CircuitBreakerOptions) {
    this.#options = options;
    const { openMs, now, onStateChange } = options;
    const policy: CircuitBreakerPolicy = circuitBreaker(
      handleWhenResult(outcome => (outcome as Outcome).kind !== 'success'),
      {
        halfOpenAfter: new MonotonicPause(openMs, now),
        breaker: new CallRates(options, () => (policy.lastFailure as { readonly value: Outcome }).value.kind),
      },
    );
    policy.onStateChange(state => onStateChange?.(STATES[state]));
    this.#policy = policy;
  }

  get state(): CircuitBreakerState {
    return STATES[this.#policy.state];
  }

  /**
   * Does the work, unless the circuit is open.
   *
   * @param call.signal where it has aborted, an error says nothing of the dependency.
   * @param call.mayBeSlow it waits for others by its nature, such as for a lock: where it takes long, that says nothing.
   * @throws BrokenCircuitError without doing it, where the circuit is open, or half open with a try under way. With a probe of its own
   *   no caller's work is ever the try.
   */
  async execute<T>(work: () => Promise<T>, call: GuardedCall = {}): Promise<T> {
    this.noteSlow();
    if (this.#policy.state === CircuitState.HalfOpen) throw new BrokenCircuitError();
    const { probe } = this.#options;
    if (probe !== undefined && this.#policy.state === CircuitState.Open) {
      // Before its time it throws.
      this.#policy.execute(() => this.#outcomeOf(probe(), this.#options.now(), {})).catch(() => {});
      throw new BrokenCircuitError();
    }
    let result: Promise<T> | undefined;
    await this.#policy.execute(() => {
      const startedAt = this.#options.now();
      result = work();
      return this.#outcomeOf(result, startedAt, call);
    });
    // The outcome of a call that is slow is known before its result.
    return result as unknown as Promise<T>;
  }

  /** Counts calls that are slow already, though they have not ended. Each new call does that too, so that nobody needs a timer. */
  noteSlow(): void {
    const { slowMs = Number.POSITIVE_INFINITY, now } = this.#options;
    for (const running of this.#running) {
      if (now() - running.startedAt < slowMs) return;
      running.end('slow');
    }
  }

  #outcomeOf(result: Promise<unknown>, startedAt: number, { signal, mayBeSlow }: GuardedCall): Promise<Outcome> {
    const { now, slowMs = Number.POSITIVE_INFINITY, isFailure } = this.#options;
    return new Promise(resolve => {
      const running: Running = {
        startedAt,
        end: kind => {
          this.#running.delete(running);
          const isSlow = now() - startedAt >= slowMs;
          if (isSlow && !mayBeSlow) resolve({ kind: 'slow' });
          // Else those that wait for others would tell of a dependency that is well, while all the rest are slow.
          else if (isSlow && kind === 'success') resolve({ kind: 'unknown' });
          else resolve({ kind });
        },
      };
      if (!mayBeSlow) this.#running.add(running);
      result.then(
        () => running.end('success'),
        error => running.end(signal?.aborted ? 'unknown' : outcomeOfError(isFailure(error))),
      );
    });
  }
}

export interface GuardedCall {
  readonly signal?: AbortSignal | undefined;
  readonly mayBeSlow?: boolean | undefined;
}

interface Outcome {
  readonly kind: OutcomeKind;
}

interface Running {
  readonly startedAt: number;
  /** What it is where it was not slow. */
  readonly end: (kind: OutcomeKind) => void;
}

/**
 * `unknown`: it says nothing of the dependency, such as where its caller gave up. While the circuit is half open, it stays open for longer.
 */
type OutcomeKind = 'success' | 'failure' | 'slow' | 'unknown';

export interface CircuitBreakerOptions {
  /** Whether an error says that the dependency fails, or else is an answer; undefined: it says nothing of the dependency. */
  readonly isFailure: (error: unknown) => boolean | undefined;
  /** Opens where this share of the calls of `windowMs` has failed, of `minCalls` or more. */
  readonly failureRate: number;
  readonly windowMs: number;
  readonly minCalls: number;
  /** Opens after so many failures without a success between them, however long they take: for a dependency that hangs. */
  readonly consecutiveFailures: number;
  /** A call that takes as long, or longer, is slow; unset: none is. */
  readonly slowMs?: number;
  /** Opens where this share of the calls of the window was slow, or failed, of `minCalls` or more. Default: 1. */
  readonly slowRate?: number;
  /** How long it is open before a call is let through, in milliseconds. */
  readonly openMs: number;
  /** What is tried when the circuit has been open for long enough. Unset: the work of the next caller, who may have to wait for long. */
  readonly probe?: () => Promise<unknown>;
  /** Milliseconds of a clock that never jumps. */
  readonly now: () => number;
  readonly onStateChange?: (state: CircuitBreakerState) => void;
}

export type CircuitBreakerState = 'closed' | 'open' | 'half-open';

function outcomeOfError(isFailure: boolean | undefined): OutcomeKind {
  if (isFailure === undefined) return 'unknown';
  return isFailure ? 'failure' : 'success';
}

/** Counts outcomes in the slices of a window, of which the oldest is always the next to be used anew. */
class CallRates implements IBreaker {
  /** Of interest only to those who store a breaker. */
  readonly state = undefined;
  readonly #options: CircuitBreakerOptions;
  readonly #latest: () => OutcomeKind;
  #slices = newSlices();
  #consecutive = 0;

  /** @param latest of what `failure` is called for. */
  constructor(options: CircuitBreakerOptions, latest: () => OutcomeKind) {
    this.#options = options;
    this.#latest = latest;
  }

  success(state: CircuitState): void {
    if (state === CircuitState.HalfOpen) this.#slices = newSlices();
    this.#consecutive = 0;
    this.#slice().calls++;
  }

  failure(state: CircuitState): boolean {
    const kind = this.#latest();
    if (kind === 'unknown') return state !== CircuitState.Closed;
    const slice = this.#slice();
    slice.calls++;
    if (kind === 'slow') slice.slow++;
    else slice.failures++;
    this.#consecutive = kind === 'slow' ? 0 : this.#consecutive + 1;
    if (state !== CircuitState.Closed) return true;
    const { minCalls, failureRate, slowRate = 1, consecutiveFailures } = this.#options;
    if (this.#consecutive >= consecutiveFailures) return true;
    const oldest = this.#sliceNumber() - SLICES;
    let [calls, failures, slow] = [0, 0, 0];
    for (const counted of this.#slices) {
      if (counted.number <= oldest) continue;
      calls += counted.calls;
      failures += counted.failures;
      slow += counted.slow;
    }
    return calls >= minCalls && (failures >= calls * failureRate || slow + failures >= calls * slowRate);
  }

  #slice(): Slice {
    const number = this.#sliceNumber();
    const slice = this.#slices[number % SLICES] as Slice;
    if (slice.number !== number) Object.assign(slice, { number, calls: 0, failures: 0, slow: 0 });
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
  calls: number;
  failures: number;
  slow: number;
}

function newSlices(): Slice[] {
  return Array.from({ length: SLICES }, () => ({ number: -1, calls: 0, failures: 0, slow: 0 }));
}

const SLICES = 10;
const STATES: Readonly<Record<CircuitState, CircuitBreakerState>> = {
  [CircuitState.Closed]: 'closed',
  [CircuitState.Open]: 'open',
  [CircuitState.HalfOpen]: 'half-open',
  [CircuitState.Isolated]: 'open',
};
