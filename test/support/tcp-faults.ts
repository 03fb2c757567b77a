import { setMaxListeners } from 'node:events';

/** What happens to bytes between two sockets, now and until it is changed. */
export interface Faults {
  /** Each byte arrives this much later, in milliseconds, in either direction: a round trip takes twice that. */
  readonly latencyMs: number;
  /** The most bytes a second, in each direction of each connection. */
  readonly bytesPerSecond: number;
  /** Nothing passes, and nobody is told: connections stay open, new ones are accepted. */
  readonly blackHole: boolean;
}

export const NO_FAULTS: Faults = { latencyMs: 0, bytesPerSecond: Number.POSITIVE_INFINITY, blackHole: false };

/** The faults of now; dispatches `change` when they have changed. */
export class FaultyLine extends EventTarget {
  #faults = NO_FAULTS;

  constructor() {
    super();
    // One for each connection.
    setMaxListeners(0, this);
  }

  get faults(): Faults {
    return this.#faults;
  }

  /** Changes the named faults; the others stay. */
  set(faults: Partial<Faults>): void {
    this.#faults = { ...this.#faults, ...faults };
    this.dispatchEvent(new Event('change'));
  }
}
