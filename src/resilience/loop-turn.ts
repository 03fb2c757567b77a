/**
 * Keeps work of many small steps, for many clients, from holding the event loop: each step waits where this turn of the loop has lasted
 * for long enough. One for all of such work in a process.
 */
export class LoopTurn {
  readonly #limitMs: number;
  #startedAt: number | undefined;
  #next = Promise.resolve();

  /** @param limitMs how long a turn may last, since so long all others wait. */
  constructor(limitMs = LIMIT_MS) {
    this.#limitMs = limitMs;
  }

  /** Undefined where a step may be done at once; else resolves when one may. */
  rest(): Promise<void> | undefined {
    return this.#isOver() ? this.#rest() : undefined;
  }

  async #rest(): Promise<void> {
    // Others waited for the same turn, and may have taken all of it.
    do await this.#next;
    while (this.#isOver());
  }

  #isOver(): boolean {
    const now = performance.now();
    if (this.#startedAt !== undefined) return now - this.#startedAt >= this.#limitMs;
    this.#startedAt = now;
    this.#next = new Promise(resolve => {
      setImmediate(() => {
        this.#startedAt = undefined;
        resolve();
      });
    });
    return false;
  }
}

const LIMIT_MS = 2;
