import { type Criticality, DEFAULT_CRITICALITY } from '#src/resilience/criticality.ts';

/**
 * Refuses a share of the calls while the event loop is late, so that those which are served are served in time: the least critical
 * first. The share follows the delay: it grows while the delay is above its target, by more the further it is above, and shrinks
 * slowly below it.
 */
export class LoadShedder {
  readonly #targetMs: number;
  readonly #random: () => number;
  /** From 0, nothing is refused, to the number of classes: 1 refuses all that is sheddable, 2 the next class as well. */
  #pressure = 0;

  /** @param options.targetMs the delay that is no overload. */
  constructor(options: { readonly targetMs: number; readonly random?: () => number }) {
    this.#targetMs = options.targetMs;
    this.#random = options.random ?? Math.random;
  }

  /** From 0, nothing is refused, to 3. */
  get pressure(): number {
    return this.#pressure;
  }

  /** Whether any call may be refused now; if not, nothing has to be known of it. */
  get isShedding(): boolean {
    return this.#pressure > 0;
  }

  /** How late the event loop is now, in milliseconds. Told at regular times. */
  observe(delayMs: number): void {
    const excess = delayMs / this.#targetMs - 1;
    const step = excess > 0 ? Math.min(excess, 4) * STEP_UP : -STEP_DOWN;
    this.#pressure = Math.max(0, Math.min(MOST, this.#pressure + step));
  }

  /** Whether this call is to be served. */
  admits(criticality: Criticality = DEFAULT_CRITICALITY): boolean {
    return this.#random() >= this.#pressure - TOLERATES[criticality];
  }
}

const STEP_UP = 0.05;
const STEP_DOWN = 0.02;
/** The pressure from which on calls of a class are refused, all of them from one more on. */
const TOLERATES: Readonly<Record<Criticality, number>> = {
  sheddable: 0,
  'sheddable-plus': 0.5,
  critical: 1,
  'critical-plus': 2,
};
/** A tenth of the most critical calls is served whatever comes: so that operators see something. */
const MOST = 2.9;
