import type { ChangeFeed } from '#src/posts/feed/change-feed.ts';
import type { PostChangeBatch } from '#src/posts/feed/post-change.ts';

/**
 * What the change feed has told one reader and it has not taken yet. Bounded: where it gets too much, all of it is dropped, and
 * nothing more is kept until the reader has noticed.
 *
 * Readers share the batches, so that a thousand of them that are behind cost the memory of one.
 */
export class ChangeBuffer implements Disposable {
  readonly #maxChanges: number;
  readonly #stopListening: () => void;
  readonly #onArrival: () => void;
  #batches: PostChangeBatch[] = [];
  #changes = 0;
  #hasHole = false;

  /** @param onArrival there are changes to take, or there is something to notice. */
  constructor(feed: Pick<ChangeFeed, 'listen'>, maxChanges: number, onArrival: () => void) {
    this.#maxChanges = maxChanges;
    this.#onArrival = onArrival;
    this.#stopListening = feed.listen({
      onBatch: batch => this.#add(batch),
      onGap: () => this.#drop(),
    });
  }

  /** Whether changes were dropped: they have to be read from the database. */
  get hasHole(): boolean {
    return this.#hasHole;
  }

  /** The reader has noticed the hole: what comes from here on is kept again. */
  acknowledgeHole(): void {
    this.#hasHole = false;
  }

  /** The next batch, or undefined. */
  take(): PostChangeBatch | undefined {
    const batch = this.#batches.shift();
    this.#changes -= batch?.changes.length ?? 0;
    return batch;
  }

  [Symbol.dispose](): void {
    this.#stopListening();
  }

  #add(batch: PostChangeBatch): void {
    if (this.#hasHole) return;
    const last = this.#batches.at(-1);
    const goesOn = last?.to === batch.from && last.life === batch.life;
    if (last?.complete && batch.complete && batch.changes.length === 0 && goesOn) {
      // Nothing has changed since, which takes no place.
      this.#batches[this.#batches.length - 1] = { ...last, to: batch.to, proof: batch.proof };
    } else {
      this.#batches.push(batch);
      this.#changes += batch.changes.length;
    }
    if (this.#changes > this.#maxChanges) this.#drop();
    // Nobody is woken to hear that nothing has changed, which it is told ten times a second.
    else if (batch.changes.length > 0) this.#onArrival();
  }

  #drop(): void {
    this.#batches = [];
    this.#changes = 0;
    this.#hasHole = true;
    this.#onArrival();
  }
}

/** Wakes who waits for it. Disposed of, it hears of its signals no more. */
export class Alarm implements Disposable {
  readonly #signals: readonly AbortSignal[];
  #rung = false;
  #wake = () => {};

  constructor(...signals: readonly AbortSignal[]) {
    this.#signals = signals;
    // Once, since a watcher waits some hundred times a second.
    for (const signal of signals) signal.addEventListener('abort', this.ring);
    if (signals.some(({ aborted }) => aborted)) this.#rung = true;
  }

  [Symbol.dispose](): void {
    for (const signal of this.#signals) signal.removeEventListener('abort', this.ring);
  }

  readonly ring = (): void => {
    this.#rung = true;
    this.#wake();
  };

  /** Settles when it rings or has rung since the last wait, when a signal aborts, or after that time. */
  async wait(ms: number): Promise<void> {
    if (!this.#rung) {
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, Math.max(0, ms));
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.#wake = () => {};
    }
    this.#rung = false;
  }
}
