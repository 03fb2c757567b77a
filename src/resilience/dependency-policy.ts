import { BrokenCircuitError } from 'cockatiel';
import type { Admission, AdmissionState, AdmittedCall } from '#src/resilience/admission.ts';
import type {
  CircuitBreaker,
  CircuitBreakerOptions,
  CircuitBreakerState,
  GuardedCall,
} from '#src/resilience/circuit-breaker.ts';

/**
 * What stands between us and one dependency: an admission for each kind of work, as a bulkhead, so that one kind can't take the place of
 * another; and one circuit breaker. While the circuit is open nobody waits for a turn: a call fails at once.
 */
export class DependencyPolicy<Kind extends string> {
  readonly #breaker: CircuitBreaker;
  readonly #admissions: Readonly<Record<Kind, Admission>>;
  readonly #isFailure: CircuitBreakerOptions['isFailure'];

  /** @param isFailure as for the breaker. */
  constructor(
    breaker: CircuitBreaker,
    admissions: Readonly<Record<Kind, Admission>>,
    isFailure: CircuitBreakerOptions['isFailure'],
  ) {
    this.#breaker = breaker;
    this.#admissions = admissions;
    this.#isFailure = isFailure;
  }

  /**
   * Does the work as soon as there is room.
   *
   * @throws BrokenCircuitError, OverloadedError, the signal's reason; and what the work throws.
   */
  run<T>(kind: Kind, work: () => Promise<T>, call: AdmittedCall & GuardedCall = {}): Promise<T> {
    const attempt = () => this.#breaker.execute(work, call);
    // Where all that is in flight hangs, later calls wait for their turn, and never come as far as the breaker.
    this.#breaker.noteSlow();
    // Open or half open: it fails at once, or is the one call that tries.
    if (this.#breaker.state !== 'closed') return attempt();
    return this.#admissions[kind].run(attempt, call, this.#isAnswer);
  }

  /** How many calls of a kind wait for their turn. */
  queued(kind: Kind): number {
    return this.#admissions[kind].state.queued;
  }

  get state(): { readonly breaker: CircuitBreakerState; readonly admissions: Readonly<Record<Kind, AdmissionState>> } {
    const admissions = Object.entries<Admission>(this.#admissions).map(([kind, { state }]) => [kind, state]);
    return { breaker: this.#breaker.state, admissions: Object.fromEntries(admissions) };
  }

  readonly #isAnswer = (error: unknown) => !(error instanceof BrokenCircuitError) && this.#isFailure(error) === false;
}
