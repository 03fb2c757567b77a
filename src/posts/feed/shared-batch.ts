import { abortable } from '#src/async/with-timeout.ts';
import type { ChangeFilter, PostChangeBatch } from '#src/posts/feed/post-change.ts';
import type { PostChangePosition } from '#src/posts/feed/post-change-position.ts';

/** A batch that is still to be read, for all who stand at its place: those who come until then join in. */
export class SharedBatch {
  readonly position: PostChangePosition;
  /** What they want. */
  readonly filters: ChangeFilter[] = [];
  readonly #result = Promise.withResolvers<PostChangeBatch>();
  readonly #left = new AbortController();
  #readers = 0;

  constructor(position: PostChangePosition) {
    this.position = position;
    this.#result.promise.catch(() => {});
  }

  /** Whether anybody still waits for it. */
  get isAwaited(): boolean {
    return this.#readers > 0;
  }

  /** Aborts when nobody does any more. */
  get left(): AbortSignal {
    return this.#left.signal;
  }

  /** The batch, when it is read. @throws what reading it does; the signal's reason, where this reader leaves before. */
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
