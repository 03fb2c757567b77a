import { abortable } from '#src/async/with-timeout.ts';
import type { ChangeFilter, PostChangeBatch } from '#src/posts/feed/post-change.ts';
import type { PostChangePosition } from '#src/posts/feed/post-change-position.ts';

/** A batch that is not read yet. Watchers at its position may join until then. */
export class SharedBatch {
  readonly position: PostChangePosition;
  /** The filters of its watchers. */
  readonly filters: ChangeFilter[] = [];
  readonly #result = Promise.withResolvers<PostChangeBatch>();
  readonly #left = new AbortController();
  #readers = 0;

  constructor(position: PostChangePosition) {
    this.position = position;
    this.#result.promise.catch(() => {});
  }

  /** Whether a watcher still waits for it. */
  get isAwaited(): boolean {
    return this.#readers > 0;
  }

  /** Aborts when the last watcher has left. */
  get left(): AbortSignal {
    return this.#left.signal;
  }

  /** The batch, when it is read. @throws the error of reading it; the signal's reason, if this watcher leaves first. */
  join(filter: ChangeFilter, signal: AbortSignal): Promise<PostChangeBatch> {
    this.filters.push(filter);
    this.#readers++;
    return abortable(this.#result.promise, signal).finally(() => {
      this.#readers--;
      if (this.#readers === 0) this.#left.abort(signal.reason);
    });
  }

  readonly resolve = (batch: PostChangeBatch): void => this.#result.resolve(batch);

  readonly reject = (error: unknown): void => this.#result.reject(error);
}
