/**
 * Remembers which networks have flooded, and for how long their new connections are refused: a second after the first flood, twice as long
 * after each further one, up to half a minute. To end a connection is no answer to a client that opens the next one at once: each costs us
 * some 100 ms before it is known for what it is. Those that are open are left alone, as they may be other people's behind one address.
 */
export class FloodPenalties {
  readonly #offenders = new Map<string, Offender>();
  readonly #now: () => number;

  /** @param now milliseconds of a clock that never jumps. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** A connection from there was ended for a flood. */
  flooded(network: string): void {
    const now = this.#now();
    const before = this.#offenders.get(network);
    const isForgotten = before === undefined || now - before.until > FORGET_MS;
    const penaltyMs = isForgotten ? FIRST_MS : Math.min(LONGEST_MS, before.penaltyMs * 2);
    // Last of all: the map is in the order of the last floods.
    this.#offenders.delete(network);
    this.#offenders.set(network, { penaltyMs, until: now + penaltyMs });
    for (const oldest of this.#offenders.keys()) {
      if (this.#offenders.size <= OFFENDERS_MAX) return;
      this.#offenders.delete(oldest);
    }
  }

  /** Whether new connections from there are to be refused. */
  isHeldOff(network: string): boolean {
    if (this.#offenders.size === 0) return false;
    const offender = this.#offenders.get(network);
    return offender !== undefined && this.#now() < offender.until;
  }
}

interface Offender {
  readonly penaltyMs: number;
  readonly until: number;
}

const FIRST_MS = 1000;
const LONGEST_MS = 30_000;
/** After its last penalty is over. */
const FORGET_MS = 60_000;
const OFFENDERS_MAX = 10_000;
