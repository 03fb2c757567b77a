/** A connection that has been held for too long. */
export interface HeldConnection {
  readonly heldMs: number;
  /** The stack of who took it. */
  readonly takenBy: string;
}

/**
 * Knows which connections of a pool are held, since when and by whom, and reports each once that is held for too long. A caller who forgets
 * to put one back takes it from all others, and the empty pool does not say who it was.
 */
export class LeakDetector {
  readonly #held = new Set<Hold>();
  readonly #leakAfterMs: number;
  readonly #onLeak: (held: HeldConnection) => void;
  readonly #timer: NodeJS.Timeout;

  /** @param onLeak told within a quarter more than `leakAfterMs`. */
  constructor(leakAfterMs: number, onLeak: (held: HeldConnection) => void) {
    this.#leakAfterMs = leakAfterMs;
    this.#onLeak = onLeak;
    this.#timer = setInterval(() => this.#look(), leakAfterMs / 4).unref();
  }

  /**
   * Somebody has taken one.
   *
   * @param taker its stack says who; undefined: one statement, after which the pool itself puts it back.
   * @returns what to call when it is put back, which gives for how long it was held, in milliseconds.
   */
  take(taker?: Error): () => number {
    const hold: Hold = { since: performance.now(), taker, isReported: false };
    this.#held.add(hold);
    return () => {
      this.#held.delete(hold);
      return performance.now() - hold.since;
    };
  }

  /** Those that are held now, the longest first. */
  list(): HeldConnection[] {
    return [...this.#held].map(hold => describe(hold));
  }

  /** Looks no more. */
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
  // V8 makes the text of a stack only when it is asked for.
  const [, ...lines] = (taker?.stack ?? ONE_STATEMENT).split('\n');
  return { heldMs: Math.round(performance.now() - since), takenBy: lines.map(line => line.trim()).join('\n') };
}

const ONE_STATEMENT = 'taken\nfor one statement';
