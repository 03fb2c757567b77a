import type { DatabasePolicy } from '#src/db/database-policy.ts';
import { SerializationError } from '#src/db/errors.ts';
import { translateBrokenCircuit } from '#src/db/guarded-reads.ts';
import type { Post, PostContent } from '#src/posts/post.ts';
import type {
  NewPost,
  PostPage,
  PostQuery,
  PostStore,
  StoreCall,
  UpdateOptions,
  WriteOptions,
} from '#src/posts/post-store.ts';
import { RetryBudget } from '#src/resilience/retry-budget.ts';

/**
 * A store whose writes go as the primary's policy lets them through; its reads are guarded where it is known which database they go to.
 *
 * A write that Postgres gave up for another transaction is repeated, as far as the budget for that goes: nothing of it was done.
 */
export class GuardedPostStore implements PostStore {
  readonly #store: PostStore;
  readonly #policy: DatabasePolicy;
  readonly #retryBudget = new RetryBudget();

  constructor(store: PostStore, policy: DatabasePolicy) {
    this.#store = store;
    this.#policy = policy;
  }

  getById(id: string, call?: StoreCall): Promise<Post | undefined> {
    return this.#store.getById(id, call);
  }

  getBySlug(slug: string, call?: StoreCall): Promise<Post | undefined> {
    return this.#store.getBySlug(slug, call);
  }

  getMany(ids: readonly string[], maxContentBytes: number, call?: StoreCall): Promise<Post[]> {
    return this.#store.getMany(ids, maxContentBytes, call);
  }

  list(query: PostQuery, call?: StoreCall): Promise<PostPage> {
    return this.#store.list(query, call);
  }

  create(posts: readonly NewPost[], options: WriteOptions, call?: StoreCall): Promise<Post[]> {
    return this.#write(() => this.#store.create(posts, options, call), call);
  }

  update(id: string, changes: Partial<PostContent>, options: UpdateOptions, call?: StoreCall): Promise<Post> {
    return this.#write(() => this.#store.update(id, changes, options, call), call);
  }

  delete(id: string, etag: string | undefined, call?: StoreCall): Promise<Post> {
    return this.#write(() => this.#store.delete(id, etag, call), call);
  }

  undelete(id: string, etag: string | undefined, call?: StoreCall): Promise<Post> {
    return this.#write(() => this.#store.undelete(id, etag, call), call);
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
        if (!mayRepeat || !this.#retryBudget.mayRetry()) translateBrokenCircuit(error);
      }
    }
  }
}

const ATTEMPTS = 3;
