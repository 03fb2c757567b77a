import { type LinePlace, WaitingLine } from '#src/resilience/waiting-line.ts';

/** Callers who each wait for one thing of a kind: first come, first served, and for a bounded time. */
export class CallerLine<T> {
  readonly #line = new WaitingLine<Caller<T>>();
  #length = 0;

  /** How many callers wait. */
  get length(): number {
    return this.#length;
  }

  /**
   * Waits for a thing at the end of the line.
   *
   * @throws what `onTimeout` makes, after `timeoutMs`; the reason of `signal`, where it aborts; what `refuseFirst` was told. The caller has
   *   left the line then.
   */
  wait(options: {
    readonly timeoutMs: number;
    readonly onTimeout: () => Error;
    readonly signal?: AbortSignal | undefined;
  }): Promise<T> {
    const { timeoutMs, onTimeout, signal } = options;
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      let isWaiting = true;
      const leave = () => {
        isWaiting = false;
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        this.#line.remove(caller);
        this.#length--;
      };
      const caller: Caller<T> = {
        before: undefined,
        after: undefined,
        give: thing => {
          leave();
          resolve(thing);
        },
        refuse: error => {
          leave();
          reject(error);
        },
      };
      const abort = () => caller.refuse(signal?.reason);
      // What has come while this process was busy with something else is looked at first.
      const timer = setTimeout(() => setImmediate(() => isWaiting && caller.refuse(onTimeout())), timeoutMs);
      signal?.addEventListener('abort', abort, { once: true });
      this.#line.add(caller);
      this.#length++;
    });
  }

  /** Gives a thing to who has waited longest. @returns false where nobody waits. */
  give(thing: T): boolean {
    const first = this.#line.oldest;
    first?.give(thing);
    return first !== undefined;
  }

  /** Sends away who has waited longest. @returns false where nobody waits. */
  refuseFirst(error: unknown): boolean {
    const first = this.#line.oldest;
    first?.refuse(error);
    return first !== undefined;
  }
}

interface Caller<T> extends LinePlace {
  readonly give: (thing: T) => void;
  readonly refuse: (error: unknown) => void;
}
