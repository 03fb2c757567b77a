/**
 * Keeps work of many small steps from blocking the event loop. A step waits for the next turn if this turn has lasted its time, or has had its
 * steps. Waiting steps continue in their order. All such work of a process shares one LoopTurn.
 */
export class LoopTurn {
  readonly #limitMs: number;
  readonly #stepsMax: number;
  #startedAt: number | undefined;
  #steps = 0;
  #waiting: (() => void)[] = [];

  /**
   * @param options.limitMs how long a turn may last; all other work waits that long.
   * @param options.stepsMax the most steps of a turn: as many as take that long.
   */
  constructor({ limitMs = LIMIT_MS, stepsMax = STEPS_MAX } = {}) {
    this.#limitMs = limitMs;
    this.#stepsMax = stepsMax;
  }

  /** Undefined if a step may run at once; otherwise it resolves when the step may run. */
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
