import type { AdmittedCall } from '#src/resilience/admission.ts';
import { CRITICALITIES, type Criticality, DEFAULT_CRITICALITY } from '#src/resilience/criticality.ts';
import { OverloadedError } from '#src/resilience/overloaded-error.ts';

/**
 * The memory that large answers may take together, from the reading of their rows until their clients have read them. An answer without room
 * is refused. Less critical calls may use less of the budget.
 *
 * An answer whose client has read nothing for a second makes room for the next one.
 */
export class ByteBudget {
  readonly #options: ByteBudgetOptions;
  readonly #held = new Set<Held>();
  /** The most critical first, and among equals the oldest. */
  #waiting: Waiting[] = [];
  #taken = 0;
  /** The part of them that is taken for reading. */
  #reading = 0;
  #isLooking = false;

  constructor(options: ByteBudgetOptions) {
    this.#options = options;
  }

  /** In bytes. */
  get taken(): number {
    return this.#taken;
  }

  /**
   * Takes bytes at once. An answer that finds the whole budget free gets them, however many they are.
   *
   * @param options.mustHave the answer must not be refused, because it is of a write.
   * @param options.free called when the bytes are given back.
   * @throws OverloadedError if there is no room.
   */
  take(
    bytes: number,
    criticality: Criticality = DEFAULT_CRITICALITY,
    { mustHave = false, free = () => {} }: { readonly mustHave?: boolean; readonly free?: () => void } = {},
  ): HeldBytes {
    const most = this.#options.maxBytes * SHARES[criticality];
    if (mustHave || this.#makeRoom(bytes, most)) return this.#hold(bytes, free);
    throw this.#refusal(criticality);
  }

  /**
   * Takes bytes for reading as soon as they are free, within a second. All readings share a part of the budget, because their garbage must be
   * collected. The rest stays free for sending what was read.
   *
   * @throws OverloadedError if there is no room by then; the signal's reason.
   */
  wait(bytes: number, { signal, criticality = DEFAULT_CRITICALITY }: AdmittedCall = {}): Promise<HeldBytes> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const most = this.#options.maxBytes * SHARES[criticality] * WAITERS_SHARE;
    if (this.#waiting.length === 0 && this.#mayRead(bytes, most)) return Promise.resolve(this.#holdToRead(bytes));
    return new Promise((resolve, reject) => {
      const leave = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        this.#waiting = this.#waiting.filter(other => other !== waiting);
      };
      const abort = () => {
        leave();
        reject(signal?.reason);
      };
      const waiting: Waiting = {
        rank: CRITICALITIES.indexOf(criticality),
        tryAgain: () => {
          if (!this.#mayRead(bytes, most)) return false;
          leave();
          resolve(this.#holdToRead(bytes));
          return true;
        },
      };
      const timer = setTimeout(() => {
        if (waiting.tryAgain()) return;
        leave();
        reject(this.#refusal(criticality));
      }, WAIT_MS);
      signal?.addEventListener('abort', abort, { once: true });
      const place = this.#waiting.findIndex(({ rank }) => rank > waiting.rank);
      this.#waiting.splice(place < 0 ? this.#waiting.length : place, 0, waiting);
    });
  }

  #mayRead(bytes: number, most: number): boolean {
    const isFree = this.#reading === 0 || this.#reading + bytes <= this.#options.maxBytes * READERS_SHARE;
    return isFree && this.#makeRoom(bytes, most);
  }

  #holdToRead(bytes: number): HeldBytes {
    this.#reading += bytes;
    return this.#hold(bytes, () => {
      this.#reading -= bytes;
    });
  }

  #makeRoom(bytes: number, most: number): boolean {
    const fits = () => this.#taken === 0 || this.#taken + bytes <= most;
    if (fits()) return true;
    const now = this.#options.now();
    const stalled = [...this.#held].filter(({ movedAt }) => now - movedAt >= STALLED_MS);
    for (const held of stalled.sort((a, b) => a.movedAt - b.movedAt)) {
      this.#options.onStalled?.();
      held.cut();
      held.giveBack();
      if (fits()) return true;
    }
    return false;
  }

  #hold(bytes: number, free = () => {}): HeldBytes {
    this.#taken += bytes;
    const held: Held = {
      movedAt: Number.POSITIVE_INFINITY,
      cut: () => {},
      giveBack: () => {
        if (!this.#held.delete(held)) return;
        this.#taken -= bytes;
        free();
        this.#options.onGivenBack?.(bytes);
        this.#lookSoon();
      },
      sends: cut => {
        held.cut = cut;
        held.moved();
      },
      moved: () => {
        held.movedAt = this.#options.now();
      },
    };
    this.#held.add(held);
    return held;
  }

  /** Not at once: an answer gives back the bytes of its reading, and then takes those of its sending. */
  #lookSoon(): void {
    if (this.#isLooking || this.#waiting.length === 0) return;
    this.#isLooking = true;
    setImmediate(() => {
      this.#isLooking = false;
      while (this.#waiting[0]?.tryAgain()) {}
    });
  }

  #refusal(criticality: Criticality): OverloadedError {
    this.#options.onRefused?.(criticality);
    return new OverloadedError(
      'the service is overloaded: large answers take all the memory that they may; ask for less',
    );
  }
}

export interface ByteBudgetOptions {
  /** The most bytes that may be taken together. */
  readonly maxBytes: number;
  /** A monotonic clock in milliseconds. */
  readonly now: () => number;
  readonly onRefused?: (criticality: Criticality) => void;
  /** An answer was cut off: its client reads nothing, and another answer needs its bytes. */
  readonly onStalled?: () => void;
  /** Bytes were given back, and are garbage now. */
  readonly onGivenBack?: (bytes: number) => void;
}

/** Bytes that were taken. */
export interface HeldBytes {
  /** Gives the bytes back. Further calls do nothing. */
  giveBack(): void;
  /** The answer is sent from now on. @param cut ends that. */
  sends(cut: () => void): void;
  /** The client has read a part of it. */
  moved(): void;
}

interface Held extends HeldBytes {
  /** When a part of it was sent last, by the clock; infinite: it is not sent yet. */
  movedAt: number;
  cut: () => void;
}

interface Waiting {
  readonly rank: number;
  /** @returns whether it has its bytes. */
  readonly tryAgain: () => boolean;
}

/** The share of the budget that calls may take, by criticality. */
const SHARES: Readonly<Record<Criticality, number>> = {
  'critical-plus': 1,
  critical: 1,
  'sheddable-plus': 0.75,
  sheddable: 0.5,
};
const WAITERS_SHARE = 0.75;
/** The share of the budget for readings: by default one page of the largest size. */
const READERS_SHARE = 0.3;
/** As long as clients wait before they retry. */
const WAIT_MS = 1000;
/** Time for one or two retransmissions. */
const STALLED_MS = 1000;
