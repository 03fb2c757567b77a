import {
  BrokenCircuitError,
  type CircuitBreakerPolicy,
  CircuitState,
  circuitBreaker,
  handleWhen,
  type IBackoff,
  type IBackoffFactory,
} from 'cockatiel';
import { type CallOutcome, CallRates, type CallRatesOptions } from '#src/resilience/call-rates.ts';

/**
 * Keeps calls from a dependency that fails, or takes too long. After too many failed or slow calls the circuit is open, and calls fail at once.
 * Then one try decides (half open).
 *
 * cockatiel provides the state machine. Calls run beside it, and tell it how they went, since it has no slow calls, and a call is slow before
 * it ends. Its clock is replaced, since it follows the wall clock: a clock that is set back would keep the circuit open. Half open, callers
 * fail at once, where cockatiel would let them wait for the try.
 */
export class CircuitBreaker {
  readonly #policy: CircuitBreakerPolicy;
  readonly #rates: CallRates;
  readonly #options: CircuitBreakerOptions;
  /** Those that can become slow, the oldest first. */
  readonly #running = new Set<RunningCall>();

  constructor(options: CircuitBreakerOptions) {
    this.#options = options;
    const { openMs, now, onStateChange, isFailure } = options;
    this.#rates = new CallRates(options);
    this.#policy = circuitBreaker(
      // Only tries run in it. One that says nothing of the dependency leaves the circuit open.
      handleWhen(error => error instanceof DependencyError || isFailure(error) !== false),
      { halfOpenAfter: new MonotonicPause(openMs, now), breaker: this.#rates },
    );
    this.#policy.onStateChange(state => onStateChange?.(STATES[state]));
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
    if (this.#policy.state !== CircuitState.Closed) return this.#try(work);
    const running: RunningCall = {
      startedAt: this.#options.now(),
      isReported: false,
      onSlow: () => void this.#report('slow'),
    };
    if (!call.mayBeSlow) this.#running.add(running);
    try {
      const result = await work();
      await this.#ended(running, 'success', call);
      return result;
    } catch (error) {
      const outcome = call.signal?.aborted ? 'unknown' : outcomeOfError(this.#options.isFailure(error));
      await this.#ended(running, outcome, call);
      throw error;
    }
  }

  /** Counts calls that are slow already, though they have not ended. Each new call does that too, so that nobody needs a timer. */
  noteSlow(): void {
    const { slowMs = Number.POSITIVE_INFINITY, now } = this.#options;
    for (const running of this.#running) {
      if (now() - running.startedAt < slowMs) return;
      this.#running.delete(running);
      running.isReported = true;
      running.onSlow();
    }
  }

  /** Before its time the policy throws. */
  #try<T>(work: () => Promise<T>): Promise<T> {
    const { probe, now, slowMs = Number.POSITIVE_INFINITY } = this.#options;
    if (probe === undefined) return this.#policy.execute(work);
    this.#policy
      .execute(async () => {
        const hung = Promise.withResolvers<never>();
        const running: RunningCall = {
          startedAt: now(),
          isReported: false,
          onSlow: () => hung.reject(new DependencyError('the try is slow')),
        };
        this.#running.add(running);
        try {
          await Promise.race([probe(), hung.promise]);
        } finally {
          this.#running.delete(running);
        }
        if (now() - running.startedAt >= slowMs) throw new DependencyError('the try was slow');
      })
      .catch(() => {});
    return Promise.reject(new BrokenCircuitError());
  }

  #ended(running: RunningCall, outcome: CallOutcome, { mayBeSlow }: GuardedCall): Promise<void> | undefined {
    this.#running.delete(running);
    if (running.isReported) return undefined;
    const { now, slowMs = Number.POSITIVE_INFINITY } = this.#options;
    if (now() - running.startedAt < slowMs) return this.#report(outcome);
    if (!mayBeSlow) return this.#report('slow');
    // Those that wait for others would tell of a dependency that is well, while all the rest are slow.
    return outcome === 'success' ? undefined : this.#report(outcome);
  }

  /**
   * Counts an outcome, unless the circuit is open: calls that began before tell nothing of what is now.
   *
   * @returns what to wait for where the circuit opens.
   */
  #report(outcome: CallOutcome): Promise<void> | undefined {
    if (outcome === 'unknown' || this.#policy.state !== CircuitState.Closed) return undefined;
    this.#rates.count(outcome);
    return outcome !== 'success' && this.#rates.areTooBad ? this.#open() : undefined;
  }

  /** The policy opens when a call in it fails, and the rates agree. */
  async #open(): Promise<void> {
    await this.#policy
      .execute(() => Promise.reject(new DependencyError('too many calls have failed, or were slow')))
      .catch(() => {});
  }
}

export interface GuardedCall {
  readonly signal?: AbortSignal | undefined;
  readonly mayBeSlow?: boolean | undefined;
}

interface RunningCall {
  readonly startedAt: number;
  /** It was slow before it ended, and is counted. */
  isReported: boolean;
  readonly onSlow: () => void;
}

export interface CircuitBreakerOptions extends CallRatesOptions {
  /** Whether an error says that the dependency fails, or else is an answer; undefined: it says nothing of the dependency. */
  readonly isFailure: (error: unknown) => boolean | undefined;
  /** A call that takes as long, or longer, is slow; unset: none is. */
  readonly slowMs?: number;
  /** How long it is open before a call is let through, in milliseconds. */
  readonly openMs: number;
  /**
   * What is tried when the circuit has been open for long enough. Unset: the work of the next caller, who may have to wait for long. If that goes
   * well, the circuit closes, however long it took.
   */
  readonly probe?: () => Promise<unknown>;
  readonly onStateChange?: (state: CircuitBreakerState) => void;
}

export type CircuitBreakerState = 'closed' | 'open' | 'half-open';

function outcomeOfError(isFailure: boolean | undefined): CallOutcome {
  if (isFailure === undefined) return 'unknown';
  return isFailure ? 'failure' : 'success';
}

/** What the policy is told of, where no call has failed in it. */
class DependencyError extends Error {
  override readonly name = 'DependencyError';
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

const STATES: Readonly<Record<CircuitState, CircuitBreakerState>> = {
  [CircuitState.Closed]: 'closed',
  [CircuitState.Open]: 'open',
  [CircuitState.HalfOpen]: 'half-open',
  [CircuitState.Isolated]: 'open',
};
