/**
 * Takes streams of one HTTP/2 session in turns of the event loop, a few in each. A client that opens hundreds with one packet does not hold
 * up the calls of others. It costs little where it resets them with the same packet.
 */
export class StreamScheduler {
  readonly #waiting: (() => void)[] = [];
  #taken = 0;
  #isScheduled = false;

  /** Whether there is room in this turn for one more, which takes it; otherwise it has to wait. */
  isNow(): boolean {
    if (this.#waiting.length > 0 || this.#taken === STREAMS_PER_TURN) return false;
    this.#taken++;
    this.#schedule();
    return true;
  }

  /** Serves it in one of the next turns, in order. */
  wait(serve: () => void): void {
    this.#waiting.push(serve);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#turn);
  }

  readonly #turn = () => {
    this.#isScheduled = false;
    const due = this.#waiting.splice(0, STREAMS_PER_TURN);
    this.#taken = due.length;
    if (due.length > 0) this.#schedule();
    for (const serve of due) serve();
  };
}

/** More than a client has open in most cases, and a millisecond or two of work. */
const STREAMS_PER_TURN = 16;
