/**
 * Keeps work of many small steps, for many clients, from holding the event loop: before each step it says whether this turn of the loop
 * has lasted for long enough, and then what to wait for. One for all of such work in a process.
 */
export class LoopTurn {
  readonly #limitMs: number;
  #startedAt: number | undefined;
  #next = Promise.resolve();

  /** @param limitMs how long a turn may last: that long, others wait. */
  constructor(limitMs = LIMIT_MS) {
    this.#limitMs = limitMs;
  }

  /** Undefined: go on. Else the next turn, at whose beginning there may be no time left, since others waited for it too: ask again. */
  get isOver(): Promise<void> | undefined {
    const now = performance.now();
    if (this.#startedAt !== undefined) return now - this.#startedAt < this.#limitMs ? undefined : this.#next;
    this.#startedAt = now;
    this.#next = new Promise(resolve => {
      setImmediate(() => {
        this.#startedAt = undefined;
        resolve();
      });
    });
    return undefined;
  }
}

const LIMIT_MS = 2;
