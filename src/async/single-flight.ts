import { addAbortListener } from 'node:events';

/** Coalesces concurrent works of the same key into one. */
export class SingleFlight<T> {
  readonly #flights = new Map<string, Flight<T>>();

  /** Whether a work of this key is running. */
  has(key: string): boolean {
    return this.#flights.has(key);
  }

  /**
   * Joins the running work, or begins one.
   *
   * @param caller.signal when it aborts, this caller gets its reason, and the others go on.
   * @param caller.deadline when this caller stops waiting; undefined: never.
   */
  run(key: string, work: FlightWork<T>, { signal, deadline }: FlightCaller = {}): Promise<T> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    let flight = this.#flights.get(key);
    if (flight === undefined) {
      const leaving = new AbortController();
      const latest = { deadline: deadline?.() };
      const result = work({ signal: leaving.signal, deadline: () => latest.deadline });
      const begun: Flight<T> = { leaving, waiting: 0, latest, result };
      flight = begun;
      this.#flights.set(key, begun);
      const end = () => {
        if (this.#flights.get(key) === begun) this.#flights.delete(key);
      };
      begun.result.then(end, end);
    } else flight.latest.deadline = later(flight.latest.deadline, deadline?.());
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
        // The next caller begins a new work.
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
        flight.leaving.abort(signal.reason);
      };
      const listening = addAbortListener(signal, leave);
      flight.result.then(resolve, reject).finally(() => listening[Symbol.dispose]());
    });
  }
}

/** The work for all callers together. */
export type FlightWork<T> = (call: FlightCall) => Promise<T>;

export interface FlightCall {
  /** Aborts when the last caller has left. */
  readonly signal: AbortSignal;
  /** When the last of the present callers stops waiting; undefined: one of them never does. */
  readonly deadline: () => number | undefined;
}

interface FlightCaller {
  readonly signal?: AbortSignal | undefined;
  readonly deadline?: Deadline | undefined;
}

type Deadline = () => number | undefined;

function later(one: number | undefined, other: number | undefined): number | undefined {
  return one === undefined || other === undefined ? undefined : Math.max(one, other);
}

interface Flight<T> {
  readonly result: Promise<T>;
  readonly leaving: AbortController;
  waiting: number;
  /** The latest deadline of its callers. */
  readonly latest: { deadline: number | undefined };
}
