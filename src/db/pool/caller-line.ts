import { type LinePlace, WaitingLine } from '#src/resilience/waiting-line.ts';

/** A queue of callers that each wait for one resource: first come, first served, and for a bounded time. */
export class CallerLine<T> {
  readonly #line = new WaitingLine<Caller<T>>();
  #length = 0;

  /** The number of waiting callers. */
  get length(): number {
    return this.#length;
  }

  /**
   * Waits at the end of the line.
   *
   * @throws the error of `onTimeout`, after `timeoutMs`; the reason of `signal`; the error of `refuseFirst`. The caller has then left the
   *   line.
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
      // A resource that arrived while this process was busy counts first.
      const timer = setTimeout(() => setImmediate(() => isWaiting && caller.refuse(onTimeout())), timeoutMs);
      signal?.addEventListener('abort', abort, { once: true });
      this.#line.add(caller);
      this.#length++;
    });
  }

  /** Gives a resource to the caller that has waited longest. @returns false if nobody waits. */
  give(thing: T): boolean {
    const first = this.#line.oldest;
    first?.give(thing);
    return first !== undefined;
  }

  /** Refuses the caller that has waited longest. @returns false if nobody waits. */
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
