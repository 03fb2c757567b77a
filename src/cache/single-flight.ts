/** Makes one work of many that are asked for at the same time under one key. */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();

  /** Whether such a work is under way. */
  has(key: string): boolean {
    return this.#flights.has(key);
  }

  /**
   * Joins the work that is under way, or else begins it.
   *
   * @param work is told by its signal that nobody waits for it any more.
   * @param signal where it aborts, this caller gets its reason, and the others go on.
   */
  run(key: string, work: (signal: AbortSignal) => Promise<T>, signal?: AbortSignal): Promise<T> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    let flight = this.#flights.get(key);
    if (flight === undefined) {
      const leaving = new AbortController();
      const begun: Flight<T> = { leaving, waiting: 0, result: work(leaving.signal) };
      flight = begun;
      this.#flights.set(key, begun);
      const end = () => {
        if (this.#flights.get(key) === begun) this.#flights.delete(key);
      };
      begun.result.then(end, end);
    }
    return this.#wait(key, flight, signal);
  }

  #wait(key: string, flight: Flight<T>, signal: AbortSignal | undefined): Promise<T> {
    flight.waiting++;
    if (signal === undefined) return flight.result;
    return new Promise((resolve, reject) => {
      const leave = () => {
        reject(signal.reason);
        flight.waiting--;
        if (flight.waiting > 0) return;
        // Who comes now begins anew.
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
        flight.leaving.abort(signal.reason);
      };
      signal.addEventListener('abort', leave, { once: true });
      flight.result.then(resolve, reject).finally(() => signal.removeEventListener('abort', leave));
    });
  }
}

interface Flight<T> {
  readonly result: Promise<T>;
  readonly leaving: AbortController;
  waiting: number;
}
