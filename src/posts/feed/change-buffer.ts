import type { ChangeFeed } from '#src/posts/feed/change-feed.ts';
import type { PostChangeBatch } from '#src/posts/feed/post-change.ts';

/**
 * The changes that one watcher has not read yet. The buffer is bounded: when it overflows, it drops everything, and keeps nothing until the
 * watcher has noticed the gap.
 *
 * Watchers share the batches, so a thousand slow watchers cost the memory of one.
 */
export class ChangeBuffer implements Disposable {
  readonly #maxChanges: number;
  readonly #stopListening: () => void;
  readonly #onArrival: () => void;
  #batches: PostChangeBatch[] = [];
  #changes = 0;
  #hasHole = false;

  /** @param onArrival called when there are changes to read, or a gap to notice. */
  constructor(feed: Pick<ChangeFeed, 'listen'>, maxChanges: number, onArrival: () => void) {
    this.#maxChanges = maxChanges;
    this.#onArrival = onArrival;
    this.#stopListening = feed.listen({
      onBatch: batch => this.#add(batch),
      onGap: () => this.#drop(),
    });
  }

  /** Whether changes were dropped. They must be read from the database. */
  get hasHole(): boolean {
    return this.#hasHole;
  }

  /** The watcher has noticed the gap. Later changes are kept again. */
  acknowledgeHole(): void {
    this.#hasHole = false;
  }

  /** The next batch; undefined: none. */
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
      // An empty batch takes no room.
      this.#batches[this.#batches.length - 1] = { ...last, to: batch.to, proof: batch.proof };
    } else {
      this.#batches.push(batch);
      this.#changes += batch.changes.length;
    }
    if (this.#changes > this.#maxChanges) this.#drop();
    // An empty batch, which comes ten times a second, wakes nobody.
    else if (batch.changes.length > 0) this.#onArrival();
  }

  #drop(): void {
    this.#batches = [];
    this.#changes = 0;
    this.#hasHole = true;
    this.#onArrival();
  }
}

/** An event that wakes its waiter. After its disposal it ignores its signals. */
export class Alarm implements Disposable {
  readonly #signals: readonly AbortSignal[];
  #rung = false;
  #wake = () => {};

  constructor(...signals: readonly AbortSignal[]) {
    this.#signals = signals;
    // Registered once, because a watcher waits a hundred times a second.
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

  /** Resolves when it rings, or has rung since the last wait, or when a signal aborts, or after this time. */
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
