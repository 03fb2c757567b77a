import { CircuitState, type IBreaker } from 'cockatiel';

/**
 * The IBreaker of cockatiel's policy. It opens by the rates of failed and of slow calls, and by failures in a row. It counts in slices of a
 * window, and reuses the oldest slice.
 */
export class CallRates implements IBreaker {
  /** Required by cockatiel, for callers that store a breaker. */
  readonly state = undefined;
  readonly #options: CallRatesOptions;
  #slices = newSlices();
  #consecutive = 0;

  constructor(options: CallRatesOptions) {
    this.#options = options;
  }

  count(outcome: Exclude<CallOutcome, 'unknown'>): void {
    const slice = this.#slice();
    slice.calls++;
    if (outcome === 'slow') slice.slow++;
    else if (outcome === 'failure') slice.failures++;
    this.#consecutive = outcome === 'failure' ? this.#consecutive + 1 : 0;
  }

  get areTooBad(): boolean {
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

  /** A try succeeded. What was before does not count any more. */
  success(): void {
    this.#slices = newSlices();
    this.count('success');
  }

  failure(state: CircuitState): boolean {
    return state !== CircuitState.Closed || this.areTooBad;
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

/** `unknown`: it does not count, for example because its caller gave up. */
export type CallOutcome = 'success' | 'failure' | 'slow' | 'unknown';

export interface CallRatesOptions {
  /** Opens if this share of the calls within `windowMs` has failed, of at least `minCalls`. */
  readonly failureRate: number;
  readonly windowMs: number;
  readonly minCalls: number;
  /** Opens after this many failures in a row, however long they take: for a dependency that hangs. */
  readonly consecutiveFailures: number;
  /** Opens if this share of the calls of the window was slow or failed, of at least `minCalls`. Default: 1. */
  readonly slowRate?: number;
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
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
