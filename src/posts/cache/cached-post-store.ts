import type { CacheEntry } from '#src/posts/cache/cache-entry.ts';
import { idKey, slugKey, tagsOfId, tagsOfList, tagsOfSlug, writtenPosts } from '#src/posts/cache/cache-tags.ts';
import { type CacheOptions, type CacheParts, ReadThroughCache } from '#src/posts/cache/read-through-cache.ts';
import type { AuthoredFields, Post } from '#src/posts/post.ts';
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

/**
 * A store with a cache of posts by id and by slug, of absent posts, and of first pages of lists: in this process and, if configured, in
 * Redis, which instances share.
 *
 * - After a write is acknowledged, this process returns nothing older. Other instances follow when the change feed delivers it, and at the
 * -   latest when the time of an answer is over. A call that names a write sees it, wherever it was made.
 * - Callers that miss at the same time share one statement.
 * - If the database fails, answers are used beyond their time, and the caller is told.
 * - A fault of the cache is a miss.
 */
export class CachedPostStore implements PostStore, Disposable {
  readonly #store: PostStore;
  readonly #answers: ReadThroughCache;
  readonly #options: CacheOptions;
  readonly #outage: CacheParts['outage'];

  constructor(store: PostStore, parts: CacheParts, options: CacheOptions) {
    this.#store = store;
    this.#answers = new ReadThroughCache(parts, options);
    this.#options = options;
    this.#outage = parts.outage;
  }

  [Symbol.dispose](): void {
    this.#answers[Symbol.dispose]();
  }

  getById(id: string, call?: StoreCall): Promise<Post | undefined> {
    return this.#answers.read<Post | undefined>(idKey(id), call, {
      load: loading => this.#store.getById(id, loading),
      dependencies: () => tagsOfId(id),
    });
  }

  getBySlug(slug: string, call?: StoreCall): Promise<Post | undefined> {
    // Postgres cannot store such text. The store answers without a read, so there is nothing to keep.
    if (slug.includes('\0')) return this.#store.getBySlug(slug, call);
    return this.#answers.read<Post | undefined>(slugKey(slug), call, {
      load: loading => this.#store.getBySlug(slug, loading),
      dependencies: post => tagsOfSlug(slug, post),
    });
  }

  async getMany(ids: readonly string[], maxContentBytes: number, call?: StoreCall): Promise<Post[]> {
    const posts: Post[] = [];
    const missing: string[] = [];
    const stale: CacheEntry[] = [];
    for (const id of ids) {
      const kept = await this.#answers.find(idKey(id), call);
      const ageMs = kept === undefined ? 0 : this.#answers.ageMs(kept);
      if (kept !== undefined && this.#answers.isFresh(kept)) {
        this.#answers.served(kept, ageMs, call);
        if (kept.value !== undefined) posts.push(kept.value as Post);
        continue;
      }
      this.#answers.missed();
      missing.push(id);
      if (kept !== undefined) stale.push(kept);
    }
    if (missing.length > 0) posts.push(...(await this.#loadMany(missing, stale, maxContentBytes, call)));
    requireFits(posts, maxContentBytes);
    return posts;
  }

  list(query: PostQuery, call?: StoreCall): Promise<PostPage> {
    if (query.after !== undefined || query.skip > 0) {
      return this.#readCurrent(call, async loading => {
        const read = await this.#answers.load(loading, reading => this.#store.list(query, reading));
        return { value: read.value, answers: [{ ...read, ttlMs: 0, dependencies: tagsOfList(query) }] };
      });
    }
    return this.#answers.read<PostPage>(`list:${JSON.stringify(query)}`, call, {
      load: loading => this.#store.list(query, loading),
      dependencies: () => tagsOfList(query),
      // The set of published posts changes with time alone.
      ttlMs: this.#options.listTtlMs,
    });
  }

  create(posts: readonly NewPost[], options: WriteOptions, call?: StoreCall): Promise<Post[]> {
    return this.#write(call, writing => this.#store.create(posts, options, writing));
  }

  async update(id: string, changes: Partial<AuthoredFields>, options: UpdateOptions, call?: StoreCall): Promise<Post> {
    const [post] = await this.#write(call, async writing => [await this.#store.update(id, changes, options, writing)]);
    return post as Post;
  }

  async delete(id: string, etag: string | undefined, call?: StoreCall): Promise<Post> {
    const [post] = await this.#write(call, async writing => [await this.#store.delete(id, etag, writing)]);
    return post as Post;
  }

  async undelete(id: string, etag: string | undefined, call?: StoreCall): Promise<Post> {
    const [post] = await this.#write(call, async writing => [await this.#store.undelete(id, etag, writing)]);
    return post as Post;
  }

  /** @param stale entries of the missing posts beyond their time. They serve only if they cover all of them. */
  async #loadMany(
    ids: readonly string[],
    stale: readonly CacheEntry[],
    maxContentBytes: number,
    call: StoreCall | undefined,
  ): Promise<Post[]> {
    const load = () =>
      this.#readCurrent(call, async loading => {
        const read = await this.#answers.load(loading, reading => this.#store.getMany(ids, maxContentBytes, reading));
        this.#outage.ended();
        const found = new Map(read.value.map(post => [post.id, post]));
        const answers = ids.map(id => {
          const value = found.get(id);
          return { ...read, value, ttlMs: this.#answers.ttlMs(value), dependencies: tagsOfId(id) };
        });
        await Promise.all(answers.map((answer, n) => this.#answers.keep(idKey(ids[n] as string), answer)));
        return { value: read.value, answers };
      });
    if (stale.length < ids.length) return load();
    const loaded = await this.#outage.unlessItFails(load, call?.signal);
    if (loaded !== undefined) return loaded;
    this.#answers.servedStale(Math.max(...stale.map(answer => this.#answers.ageMs(answer))), call);
    return stale.flatMap(({ value }) => (value as Post | undefined) ?? []);
  }

  /** Reads again, and everything that is committed by now, if the first read lacks a known write: it may be of a replica. */
  async #readCurrent<T>(
    call: StoreCall | undefined,
    read: (call: StoreCall) => Promise<{ readonly value: T; readonly answers: readonly CacheEntry[] }>,
  ): Promise<T> {
    const { signal, deadline, minTransactions, fresh, criticality } = call ?? {};
    const loading = { signal, deadline, minTransactions, fresh, criticality };
    const { value, answers } = await read(loading);
    if (answers.every(answer => this.#answers.mayUse(answer, call))) return value;
    return (await read({ ...loading, fresh: true })).value;
  }

  async #write(call: StoreCall | undefined, write: (call: StoreCall) => Promise<Post[]>): Promise<Post[]> {
    let committed: Parameters<NonNullable<StoreCall['committed']>> | undefined;
    const posts = await write({
      signal: call?.signal,
      deadline: call?.deadline,
      criticality: call?.criticality,
      committed: (...by) => {
        committed = by;
      },
    });
    if (committed !== undefined) {
      this.#answers.wrote(writtenPosts(posts), committed[0]);
      call?.committed?.(...committed);
    }
    return posts;
  }
}

function requireFits(posts: readonly Post[], maxContentBytes: number): void {
  const bytes = posts.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0);
  if (bytes > maxContentBytes) throw new PostsTooLargeError(maxContentBytes);
}
