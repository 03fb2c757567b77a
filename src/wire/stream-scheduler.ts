/**
 * Serves the streams of one HTTP/2 session in turns of the event loop, a few in each. So a client that opens hundreds with one packet does
 * not delay the calls of others. If it resets them with the same packet, they cost little.
 */
export class StreamScheduler {
  readonly #waiting: (() => void)[] = [];
  #taken = 0;
  #isScheduled = false;

  /** Whether this turn has room for one more stream, which then takes it. Otherwise the stream must wait. */
  isNow(): boolean {
    if (this.#waiting.length > 0 || this.#taken === STREAMS_PER_TURN) return false;
    this.#taken++;
    this.#schedule();
    return true;
  }

  /** Serves a stream in one of the next turns, in order. */
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

/** More streams than most clients have open, and one or two milliseconds of work. */
const STREAMS_PER_TURN = 16;
