/**
 * Keeps work of many small steps, for many clients, from holding the event loop: each step waits where this turn of the loop has lasted
 * for long enough, or has had many steps. Those who wait go on in their order, as many in each turn. One for all of such work in a process.
 */
export class LoopTurn {
  readonly #limitMs: number;
  readonly #stepsMax: number;
  #startedAt: number | undefined;
  #steps = 0;
  #waiting: (() => void)[] = [];

  /**
   * @param options.limitMs how long a turn may last, since so long all others wait.
   * @param options.stepsMax how many steps it may have: as many as take that long.
   */
  constructor({ limitMs = LIMIT_MS, stepsMax = STEPS_MAX } = {}) {
    this.#limitMs = limitMs;
    this.#stepsMax = stepsMax;
  }

  /** Undefined where a step may be done at once; else resolves when it may. */
  rest(): Promise<void> | undefined {
    const now = performance.now();
    if (this.#startedAt === undefined) this.#begin(now);
    if (this.#waiting.length > 0 || this.#steps >= this.#stepsMax || now - (this.#startedAt ?? now) >= this.#limitMs)
      return new Promise(resolve => this.#waiting.push(resolve));
    this.#steps++;
    return undefined;
  }

  #begin(now: number): void {
    this.#startedAt = now;
    this.#steps = 0;
    setImmediate(() => {
      this.#startedAt = undefined;
      if (this.#waiting.length === 0) return;
      this.#begin(performance.now());
      const next = this.#waiting.slice(0, this.#stepsMax);
      this.#waiting = this.#waiting.slice(next.length);
      this.#steps = next.length;
      for (const step of next) step();
    });
  }
}

const LIMIT_MS = 2;
const STEPS_MAX = 40;
