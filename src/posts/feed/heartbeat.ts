/** When a watch is to say that it is alive: so long after it has said anything. */
export class Heartbeat {
  readonly #everyMs: number;
  readonly #now: () => number;
  #toldAt: number;

  /** @param now milliseconds of a clock that never jumps. */
  constructor(everyMs: number, now: () => number) {
    this.#everyMs = everyMs;
    this.#now = now;
    this.#toldAt = now();
  }

  /** In how many milliseconds it is due; 0 or less: now. */
  get dueInMs(): number {
    return this.#toldAt + this.#everyMs - this.#now();
  }

  /** The watch has said something. */
  told(): void {
    this.#toldAt = this.#now();
  }
}
