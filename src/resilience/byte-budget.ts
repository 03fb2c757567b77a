import { type AdmittedCall, OverloadedError } from '#src/resilience/admission.ts';
import { CRITICALITIES, type Criticality, DEFAULT_CRITICALITY } from '#src/resilience/criticality.ts';

/**
 * Memory that large answers may take together, from when their rows are read until their readers have taken them. What has no room is
 * refused. The least critical may use less of it than the others.
 *
 * An answer whose reader has taken nothing for a second gives way to the next one, which has a reader that may take it.
 */
export class ByteBudget {
  readonly #options: ByteBudgetOptions;
  readonly #held = new Set<Held>();
  /** The most critical first, and of those the first to come. */
  #waiting: Waiting[] = [];
  #taken = 0;
  /** Of them, by those who read. */
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
   * Takes so many bytes at once. One who finds everything free gets them, however many they are.
   *
   * @param options.mustHave it can't be refused, such as the answer to a write: it gets them in any case.
   * @param options.free called when they are given back.
   * @throws OverloadedError where there is no room.
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
   * Takes so many bytes, to read into, as soon as they can be had, within a second. All who read have a part of the budget together: what
   * they leave behind has to be collected. And a part is left free for those who take theirs at once: what was read has to be sent.
   *
   * @throws OverloadedError where there is no room by then; the signal's reason.
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

  /** Not at once: what was read gives back what the reading took, and then takes what the sending does. */
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
  /** Of all that is taken together. */
  readonly maxBytes: number;
  /** Milliseconds of a clock that never jumps. */
  readonly now: () => number;
  readonly onRefused?: (criticality: Criticality) => void;
  /** An answer was cut off, since its reader takes nothing and another one needs its bytes. */
  readonly onStalled?: () => void;
  /** Bytes were given back, which are garbage now. */
  readonly onGivenBack?: (bytes: number) => void;
}

/** Bytes that were taken. */
export interface HeldBytes {
  /** To be called when they are free again; more than once is as good as once. */
  giveBack(): void;
  /** They are being sent from now on. @param cut ends that. */
  sends(cut: () => void): void;
  /** The reader has taken some of it. */
  moved(): void;
}

interface Held extends HeldBytes {
  /** When some of it was sent, by the clock; infinite: it is not sent yet. */
  movedAt: number;
  cut: () => void;
}

interface Waiting {
  readonly rank: number;
  /** Says whether it has got its bytes. */
  readonly tryAgain: () => boolean;
}

/** Of the budget, what calls may take. */
const SHARES: Readonly<Record<Criticality, number>> = {
  'critical-plus': 1,
  critical: 1,
  'sheddable-plus': 0.75,
  sheddable: 0.5,
};
const WAITERS_SHARE = 0.75;
/** Of the budget, what all may read into at once: by default one of the largest pages. */
const READERS_SHARE = 0.3;
/** As clients wait before they try again. */
const WAIT_MS = 1000;
/** A retransmission or two. */
const STALLED_MS = 1000;
