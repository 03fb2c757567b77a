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
 * Keeps calls from a dependency that fails or is slow. After too many failed or slow calls the circuit opens, and calls fail at once. Then one
 * try decides (half open).
 *
 * cockatiel provides the state machine. Calls run beside it and report their outcome, because cockatiel does not know slow calls, and a call
 * is slow before it ends. Its clock is replaced, because a wall clock that is set back would keep the circuit open. While the circuit is half
 * open, callers fail at once, where cockatiel would let them wait for the try.
 */
export class CircuitBreaker {
  readonly #policy: CircuitBreakerPolicy;
  readonly #rates: CallRates;
  readonly #options: CircuitBreakerOptions;
  /** Calls that can become slow, the oldest first. */
  readonly #running = new Set<RunningCall>();

  constructor(options: CircuitBreakerOptions) {
    this.#options = options;
    const { openMs, now, onStateChange, isFailure } = options;
    this.#rates = new CallRates(options);
    this.#policy = circuitBreaker(
      // Only tries run in the policy. A try without an outcome leaves the circuit open.
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
   * @param call.signal once it has aborted, an error does not count.
   * @param call.mayBeSlow the call waits for others, such as for a lock, so its duration does not count.
   * @throws BrokenCircuitError without doing the work, if the circuit is open, or half open while a try runs. With a probe, no caller's work
   *   is the try.
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

  /** Counts running calls that are already slow. Each new call does that too, so no timer is needed. */
  noteSlow(): void {
    const { slowMs = Number.POSITIVE_INFINITY, now } = this.#options;
    for (const running of this.#running) {
      if (now() - running.startedAt < slowMs) return;
      this.#running.delete(running);
      running.isReported = true;
      running.onSlow();
    }
  }

  /** The policy throws before its time. */
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
    // A call that waits for others would count as a success, while all other calls are slow.
    return outcome === 'success' ? undefined : this.#report(outcome);
  }

  /**
   * Counts an outcome, unless the circuit is open: a call that began before says nothing of the present.
   *
   * @returns a promise to wait for, if the circuit opens.
   */
  #report(outcome: CallOutcome): Promise<void> | undefined {
    if (outcome === 'unknown' || this.#policy.state !== CircuitState.Closed) return undefined;
    this.#rates.count(outcome);
    return outcome !== 'success' && this.#rates.areTooBad ? this.#open() : undefined;
  }

  /** The policy opens when a call in it fails and the rates agree. */
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
  /** It was counted as slow before it ended. */
  isReported: boolean;
  readonly onSlow: () => void;
}

export interface CircuitBreakerOptions extends CallRatesOptions {
  /** Whether an error is a failure of the dependency. False: it is an answer. Undefined: it does not count. */
  readonly isFailure: (error: unknown) => boolean | undefined;
  /** A call of this duration or longer is slow; unset: none is. */
  readonly slowMs?: number;
  /** How long the circuit stays open before a try, in milliseconds. */
  readonly openMs: number;
  /**
   * The try. Unset: the work of the next caller, who may wait for long. If it succeeds, the circuit closes, however long it took.
   */
  readonly probe?: () => Promise<unknown>;
  readonly onStateChange?: (state: CircuitBreakerState) => void;
}

export type CircuitBreakerState = 'closed' | 'open' | 'half-open';

function outcomeOfError(isFailure: boolean | undefined): CallOutcome {
  if (isFailure === undefined) return 'unknown';
  return isFailure ? 'failure' : 'success';
}

/** The failure that opens the policy, in which no call has failed. */
class DependencyError extends Error {
  override readonly name = 'DependencyError';
}

/** A duration that is over or never ends. cockatiel compares it with the wall clock, which then does not matter. */
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
