import { type Criticality, DEFAULT_CRITICALITY } from '#src/resilience/criticality.ts';

/**
 * Refuses a share of the calls while the event loop is late, the least critical first, so that the others are served in time. The share grows
 * while the delay is above its target, by more the further it is above. Below the target it shrinks slowly.
 */
export class LoadShedder {
  readonly #targetMs: number;
  readonly #random: () => number;
  /** 0 refuses nothing, 1 all sheddable calls, 2 the next class as well, and so on. */
  #pressure = 0;

  /** @param options.targetMs the highest delay that is not overload. */
  constructor(options: { readonly targetMs: number; readonly random?: () => number }) {
    this.#targetMs = options.targetMs;
    this.#random = options.random ?? Math.random;
  }

  /** From 0, nothing is refused, to 3. */
  get pressure(): number {
    return this.#pressure;
  }

  /** Whether any call may be refused now. If not, its criticality need not be read. */
  get isShedding(): boolean {
    return this.#pressure > 0;
  }

  /** Takes a sample of the event-loop delay, in milliseconds, at regular times. */
  observe(delayMs: number): void {
    const excess = delayMs / this.#targetMs - 1;
    const step = excess > 0 ? Math.min(excess, 4) * STEP_UP : -STEP_DOWN;
    this.#pressure = Math.max(0, Math.min(MOST, this.#pressure + step));
  }

  /** Whether this call is served. */
  admits(criticality: Criticality = DEFAULT_CRITICALITY): boolean {
    return this.#random() >= this.#pressure - TOLERATES[criticality];
  }
}

const STEP_UP = 0.05;
const STEP_DOWN = 0.02;
/** The pressure at which calls of a class begin to be refused. One more refuses all of them. */
const TOLERATES: Readonly<Record<Criticality, number>> = {
  sheddable: 0,
  'sheddable-plus': 0.5,
  critical: 1,
  'critical-plus': 2,
};
/** A tenth of the most critical calls is always served, so that operators see something. */
const MOST = 2.9;
