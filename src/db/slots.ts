/**
 * Slots that callers hold one of each, as many as there are at the moment, and a queue, first come first served, of those who wait for
 * one.
 *
 * pg's own pool has such a queue too, but a caller whose call was aborted keeps its place there until the timeout: under
 * overload the queue would be full of callers who are gone.
 */
export class Slots {
  readonly #waiters = new Set<() => void>();
  readonly #count: () => number;
  #taken = 0;

  /** @param count how many there are now; `changed` is to be called when it has grown. */
  constructor(count: () => number) {
    this.#count = count;
  }

  /** How many callers wait. */
  get waiting(): number {
    return this.#waiters.size;
  }

  /**
   * Takes a slot, to be given back by `give`.
   *
   * @returns undefined where one is free, and else a promise of one. It rejects when `signal` aborts, with its reason, or
   *   after `timeoutMs`, with what `onTimeout` makes: the caller has left the queue then.
   */
  take(options: {
    readonly timeoutMs: number;
    readonly onTimeout: () => Error;
    readonly signal?: AbortSignal | undefined;
  }): Promise<void> | undefined {
    if (this.#waiters.size === 0 && this.#taken < this.#count()) {
      this.#taken++;
      return undefined;
    }
    const { timeoutMs, onTimeout, signal } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const leave = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        this.#waiters.delete(got);
      };
      const got = () => {
        leave();
        resolve();
      };
      const abort = () => {
        leave();
        reject(signal?.reason);
      };
      const timer = setTimeout(() => {
        leave();
        reject(onTimeout());
      }, timeoutMs);
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiters.add(got);
    });
  }

  /** Gives a slot back, to who has waited longest. */
  give(): void {
    this.#taken--;
    this.changed();
  }

  /** There may be more slots than before: those who have waited longest get them. */
  changed(): void {
    for (const next of this.#waiters) {
      if (this.#taken >= this.#count()) return;
      this.#taken++;
      next();
    }
  }
}
