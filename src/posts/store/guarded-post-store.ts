import type { DatabasePolicy } from '#src/db/database-policy.ts';
import { SerializationError } from '#src/db/errors.ts';
import type { Post, PostFields } from '#src/posts/post.ts';
import {
  type NewPost,
  type PostPage,
  type PostQuery,
  type PostStore,
  PostsTooLargeError,
  type StoreCall,
  type UpdateOptions,
  type WriteOptions,
} from '#src/posts/post-store.ts';
import type { ByteBudget } from '#src/resilience/byte-budget.ts';
import { RetryBudget } from '#src/resilience/retry-budget.ts';

/**
 * A store whose writes go as the primary's policy lets them through; its reads are guarded where it is known which database they go to.
 * What is read of many posts takes its memory of the budget of large answers, unless it is little.
 *
 * A write that Postgres gave up for another transaction is repeated, as far as the budget for that goes: nothing of it was done.
 */
export class GuardedPostStore implements PostStore {
  readonly #store: PostStore;
  readonly #policy: DatabasePolicy;
  readonly #largeAnswers: ByteBudget;
  readonly #retryBudget = new RetryBudget();

  constructor(store: PostStore, policy: DatabasePolicy, largeAnswers: ByteBudget) {
    this.#store = store;
    this.#policy = policy;
    this.#largeAnswers = largeAnswers;
  }

  getById(id: string, call?: StoreCall): Promise<Post | undefined> {
    return this.#store.getById(id, call);
  }

  getBySlug(slug: string, call?: StoreCall): Promise<Post | undefined> {
    return this.#store.getBySlug(slug, call);
  }

  getMany(ids: readonly string[], maxContentBytes: number, call?: StoreCall): Promise<Post[]> {
    const read = (maxBytes: number) => this.#store.getMany(ids, maxBytes, call);
    return this.#unlessLittle(maxContentBytes, call, read, read);
  }

  list(query: PostQuery, call?: StoreCall): Promise<PostPage> {
    const little = (maxContentBytes: number) => this.#store.list({ ...query, maxContentBytes, isWhole: true }, call);
    return this.#unlessLittle(query.maxContentBytes, call, little, () => this.#store.list(query, call));
  }

  create(posts: readonly NewPost[], options: WriteOptions, call?: StoreCall): Promise<Post[]> {
    return this.#write(() => this.#store.create(posts, options, call), call);
  }

  update(id: string, changes: Partial<PostFields>, options: UpdateOptions, call?: StoreCall): Promise<Post> {
    return this.#write(() => this.#store.update(id, changes, options, call), call);
  }

  delete(id: string, etag: string | undefined, call?: StoreCall): Promise<Post> {
    return this.#write(() => this.#store.delete(id, etag, call), call);
  }

  undelete(id: string, etag: string | undefined, call?: StoreCall): Promise<Post> {
    return this.#write(() => this.#store.undelete(id, etag, call), call);
  }

  /** Reads what has little content, or else takes the memory for much of it, and reads that. */
  async #unlessLittle<T>(
    maxContentBytes: number,
    call: StoreCall | undefined,
    little: (maxBytes: number) => Promise<T>,
    much: (maxBytes: number) => Promise<T>,
  ): Promise<T> {
    if (maxContentBytes <= LITTLE_CONTENT_BYTES) return much(maxContentBytes);
    try {
      return await little(LITTLE_CONTENT_BYTES);
    } catch (error) {
      if (!(error instanceof PostsTooLargeError)) throw error;
    }
    const held = await this.#largeAnswers.wait(maxContentBytes * MEMORY_PER_BYTE, call);
    try {
      return await much(maxContentBytes);
    } finally {
      held.giveBack();
    }
  }

  async #write<T>(write: () => Promise<T>, call: StoreCall | undefined): Promise<T> {
    this.#retryBudget.called();
    const { signal, deadline, criticality } = call ?? {};
    for (let attempt = 1; ; attempt++) {
      try {
        // It may wait for a lock that another one holds, which says nothing of the database.
        return await this.#policy.run('write', write, { signal, deadline, criticality, mayBeSlow: true });
      } catch (error) {
        const mayRepeat = error instanceof SerializationError && attempt < ATTEMPTS && !signal?.aborted;
        if (!mayRepeat || !this.#retryBudget.mayRetry()) throw error;
      }
    }
  }
}

const ATTEMPTS = 3;
/** Pages of a hundred ordinary posts have less. */
const LITTLE_CONTENT_BYTES = 512 * 1024;
/** While rows are read: as they come, as the driver joins them in buffers that double, and as texts. */
const MEMORY_PER_BYTE = 6;
