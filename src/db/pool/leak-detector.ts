/** A connection that has been held for too long. */
export interface HeldConnection {
  readonly heldMs: number;
  /** The stack of its taker. */
  readonly takenBy: string;
}

/**
 * Knows which connections of a pool are held, since when and by whom, and reports each one once that is held for too long. A caller that
 * forgets to release a connection takes it from all others, and an empty pool does not tell who it was.
 */
export class LeakDetector {
  readonly #held = new Set<Hold>();
  readonly #leakAfterMs: number;
  readonly #onLeak: (held: HeldConnection) => void;
  readonly #timer: NodeJS.Timeout;

  /** @param onLeak called at most a quarter of `leakAfterMs` late. */
  constructor(leakAfterMs: number, onLeak: (held: HeldConnection) => void) {
    this.#leakAfterMs = leakAfterMs;
    this.#onLeak = onLeak;
    this.#timer = setInterval(() => this.#look(), leakAfterMs / 4).unref();
  }

  /**
   * A connection was taken.
   *
   * @param taker its stack names the caller; undefined: the pool itself releases the connection after one statement.
   * @returns a function to call at the release, which returns how long it was held, in milliseconds.
   */
  take(taker?: Error): () => number {
    const hold: Hold = { since: performance.now(), taker, isReported: false };
    this.#held.add(hold);
    return () => {
      this.#held.delete(hold);
      return performance.now() - hold.since;
    };
  }

  /** The held connections, the longest held first. */
  list(): HeldConnection[] {
    return [...this.#held].map(hold => describe(hold));
  }

  /** Stops the detector. */
  end(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    for (const hold of this.#held) {
      if (performance.now() - hold.since < this.#leakAfterMs) return;
      if (hold.isReported) continue;
      hold.isReported = true;
      this.#onLeak(describe(hold));
    }
  }
}

interface Hold {
  readonly since: number;
  readonly taker: Error | undefined;
  isReported: boolean;
}

function describe({ since, taker }: Hold): HeldConnection {
  // V8 makes the text of a stack on demand.
  const [, ...lines] = (taker?.stack ?? ONE_STATEMENT).split('\n');
  return { heldMs: Math.round(performance.now() - since), takenBy: lines.map(line => line.trim()).join('\n') };
}

const ONE_STATEMENT = 'taken\nfor one statement';
