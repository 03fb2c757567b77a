import { TimeoutError, withTimeout } from '#src/async/with-timeout.ts';
import { DatabaseUnavailableError } from '#src/db/errors.ts';
import type { FeedHead } from '#src/posts/feed/feed-head.ts';
import { type PostChangePosition, placeOf } from '#src/posts/feed/post-change-position.ts';

/** Where the feed ended when it was read. */
export interface FeedEnd {
  readonly position: PostChangePosition;
  /** The name of the life that it was read in. */
  readonly life: string;
}

/** Callers that wait for the feed's end. All who asked before a read of its head began share that read. */
export class FeedEnds {
  readonly #timeoutMs: number;
  #waiting: ((end: FeedEnd) => void)[] = [];

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs;
  }

  /**
   * The end as the next read finds it.
   *
   * @throws DatabaseUnavailableError where no read succeeds in time.
   */
  async next(): Promise<FeedEnd> {
    const { promise, resolve } = Promise.withResolvers<FeedEnd>();
    this.#waiting.push(resolve);
    try {
      return await withTimeout(this.#timeoutMs, promise);
    } catch (error) {
      this.#waiting = this.#waiting.filter(waiting => waiting !== resolve);
      if (!(error instanceof TimeoutError)) throw error;
      throw new DatabaseUnavailableError('the change feed is cut off from the database');
    }
  }

  /** Reads, and answers those who asked before the read began. If it fails, they wait for the next one. */
  async answer<T extends FeedHead | { readonly head: FeedHead }>(read: () => Promise<T>): Promise<T> {
    const waiting = new Set(this.#waiting);
    const found = await read();
    const head: FeedHead = 'head' in found ? found.head : found;
    const end = { position: placeOf(head), life: head.life.name };
    this.#waiting = this.#waiting.filter(resolve => !waiting.has(resolve));
    for (const resolve of waiting) resolve(end);
    return found;
  }
}
