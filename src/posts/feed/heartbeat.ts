/** When a watch must send a heartbeat: this long after its last message. */
export class Heartbeat {
  readonly #everyMs: number;
  readonly #now: () => number;
  #toldAt: number;

  /** @param now a monotonic clock in milliseconds. */
  constructor(everyMs: number, now: () => number) {
    this.#everyMs = everyMs;
    this.#now = now;
    this.#toldAt = now();
  }

  /** The milliseconds until it is due; 0 or less: now. */
  get dueInMs(): number {
    return this.#toldAt + this.#everyMs - this.#now();
  }

  /** The watch has sent a message. */
  told(): void {
    this.#toldAt = this.#now();
  }
}
