/**
 * The event-loop delay in milliseconds: how long a call waits before any work is done for it. It is the shortest delay of a tenth of a second,
 * so that a single long task, such as a garbage collection, does not count as overload.
 */
export class EventLoopDelay implements Disposable {
  readonly #timer: NodeJS.Timeout;
  readonly #recent = new Float64Array(SAMPLES);
  #next = 0;
  #due: number;

  /** @param onSample called with each sample, 50 times a second while the loop is not late. */
  constructor(onSample?: (delayMs: number) => void) {
    this.#due = performance.now() + EVERY_MS;
    this.#timer = setInterval(() => {
      const now = performance.now();
      this.#recent[this.#next++ % SAMPLES] = Math.max(0, now - this.#due);
      this.#due = now + EVERY_MS;
      onSample?.(this.ms);
    }, EVERY_MS).unref();
  }

  get ms(): number {
    return Math.min(...this.#recent);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

const EVERY_MS = 20;
const SAMPLES = 5;
