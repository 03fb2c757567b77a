/**
 * Keeps work of many small steps, for many clients, from holding the event loop: each step waits where this turn of the loop has lasted
 * for long enough, or has had many. One for all of such work in a process.
 *
 * Their number counts, too, since those who have waited are all let on before any of them does its step.
 */
export class LoopTurn {
  readonly #limitMs: number;
  readonly #stepsMax: number;
  #startedAt: number | undefined;
  #steps = 0;
  #next = Promise.resolve();

  /**
   * @param options.limitMs how long a turn may last, since so long all others wait.
   * @param options.stepsMax how many steps it may have: as many as take that long.
   */
  constructor({ limitMs = LIMIT_MS, stepsMax = STEPS_MAX } = {}) {
    this.#limitMs = limitMs;
    this.#stepsMax = stepsMax;
  }

  /** Undefined where a step may be done at once; else resolves when one may. */
  rest(): Promise<void> | undefined {
    return this.#takesStep() ? undefined : this.#rest();
  }

  async #rest(): Promise<void> {
    // Others waited for the same turn, and may have taken all of it.
    do await this.#next;
    while (!this.#takesStep());
  }

  #takesStep(): boolean {
    const now = performance.now();
    if (this.#startedAt === undefined) this.#begin(now);
    else if (this.#steps >= this.#stepsMax || now - this.#startedAt >= this.#limitMs) return false;
    this.#steps++;
    return true;
  }

  #begin(now: number): void {
    this.#startedAt = now;
    this.#steps = 0;
    this.#next = new Promise(resolve => {
      setImmediate(() => {
        this.#startedAt = undefined;
        resolve();
      });
    });
  }
}

const LIMIT_MS = 2;
const STEPS_MAX = 40;
