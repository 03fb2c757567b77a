import { SingleFlight } from '#src/cache/single-flight.ts';
import { DatabaseUnavailableError, StatementTimeoutError } from '#src/db/errors.ts';
import type { Snapshot } from '#src/db/snapshot.ts';
import { type AnswerValue, type CachedAnswer, decodeAnswer, encodeAnswer } from '#src/posts/cached-answer.ts';
import type { ChangeFeed } from '#src/posts/change-feed.ts';
import { LastWrites } from '#src/posts/last-writes.ts';
import type { Post, PostContent } from '#src/posts/post.ts';
import {
  dependenciesOfChange,
  dependenciesOfId,
  dependenciesOfList,
  dependenciesOfSlug,
  dependenciesOfWrite,
  idKey,
  slugKey,
} from '#src/posts/post-dependencies.ts';
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
 * A store that remembers what it read: posts by id and by slug, that there is none, and first pages of lists; in this process, and
 * where there is one, in a cache that instances share.
 *
 * - An answer is used only if the snapshot that it was read at covers the last writes that are known (LastWrites): those of this
 *   process from their acknowledgement on, those of others and by hand from when the change feed tells of them.
 * - Callers that miss at the same time share one statement.
 * - Where the database fails, answers are used beyond their time, and the caller is told.
 * - A fault of the cache is a miss.
 */
export class CachedPostStore implements PostStore, Disposable {
  readonly #store: PostStore;
  readonly #feed: Pick<ChangeFeed, 'snapshot' | 'listen'>;
  readonly #near: NearTier;
  readonly #shared: SharedTier | undefined;
  readonly #options: CacheOptions;
  readonly #lastWrites: LastWrites;
  readonly #fills = new SingleFlight<CachedAnswer>();
  readonly #stopListening: () => void;

  constructor(parts: CacheParts, options: CacheOptions) {
    this.#store = parts.store;
    this.#feed = parts.feed;
    this.#near = parts.near;
    this.#shared = parts.shared;
    this.#options = options;
    const keepMs = options.ttlMs + options.staleIfErrorMs;
    this.#lastWrites = new LastWrites({ keepMs, maxEntries: LAST_WRITES_MAX, now: options.now });
    this.#stopListening = this.#feed.listen({
      onBatch: ({ changes, to }) => {
        for (const change of changes) this.#forget(dependenciesOfChange(change), to);
      },
      onGap: snapshot => this.#lastWrites.missed(snapshot),
    });
  }

  [Symbol.dispose](): void {
    this.#stopListening();
  }

  getById(id: string, call?: StoreCall): Promise<Post | undefined> {
    return this.#read<Post | undefined>(idKey(id), call, {
      load: loading => this.#store.getById(id, loading),
      dependencies: () => dependenciesOfId(id),
      ttlMs: this.#options.ttlMs,
    });
  }

  getBySlug(slug: string, call?: StoreCall): Promise<Post | undefined> {
    return this.#read<Post | undefined>(slugKey(slug), call, {
      load: loading => this.#store.getBySlug(slug, loading),
      dependencies: post => dependenciesOfSlug(slug, post),
      ttlMs: this.#options.ttlMs,
    });
  }

  async getMany(ids: readonly string[], maxContentBytes: number, call?: StoreCall): Promise<Post[]> {
    const answers = await Promise.all(ids.map(id => this.#near.get(idKey(id))));
    const posts: Post[] = [];
    const missing: string[] = [];
    for (const [i, id] of ids.entries()) {
      const answer = answers[i] as CachedAnswer<Post | undefined> | undefined;
      if (answer === undefined || !this.#isFresh(answer) || !this.#mayUse(answer, call)) missing.push(id);
      else if (answer.value !== undefined) posts.push(answer.value);
      this.#count(answer);
    }
    if (missing.length > 0) posts.push(...(await this.#loadMany(missing, maxContentBytes, call)));
    requireFits(posts, maxContentBytes);
    return posts;
  }

  list(query: PostQuery, call?: StoreCall): Promise<PostPage> {
    if (query.after !== undefined || query.skip > 0) return this.#store.list(query, call);
    return this.#read<PostPage>(`list:${JSON.stringify(query)}`, call, {
      load: loading => this.#store.list(query, loading),
      dependencies: () => dependenciesOfList(query),
      // What is published changes with the time alone.
      ttlMs: this.#options.listTtlMs,
    });
  }

  create(posts: readonly NewPost[], options: WriteOptions, call?: StoreCall): Promise<Post[]> {
    return this.#write(call, writing => this.#store.create(posts, options, writing));
  }

  async update(id: string, changes: Partial<PostContent>, options: UpdateOptions, call?: StoreCall): Promise<Post> {
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

  async #read<T extends AnswerValue>(key: string, call: StoreCall | undefined, look: LookUp<T>): Promise<T> {
    const cached = (await this.#near.get(key)) as CachedAnswer<T> | undefined;
    const usable = cached !== undefined && this.#mayUse(cached, call) ? cached : undefined;
    if (usable !== undefined && this.#isFresh(usable)) {
      this.#refreshSoon(key, usable, look);
      this.#count(usable);
      return usable.value;
    }
    this.#count(undefined);
    try {
      return await this.#load(key, call, look);
    } catch (error) {
      const ageMs = usable === undefined ? Number.POSITIVE_INFINITY : this.#options.now() - usable.readAt;
      const failed = error instanceof DatabaseUnavailableError || error instanceof StatementTimeoutError;
      if (!failed || usable === undefined || ageMs > usable.ttlMs + this.#options.staleIfErrorMs) throw error;
      this.#options.onOutcome?.('stale');
      call?.servedStale?.(ageMs);
      return usable.value;
    }
  }

  /** From a work that is under way where its answer is good for this call, else from one of its own. */
  async #load<T extends AnswerValue>(key: string, call: StoreCall | undefined, look: LookUp<T>): Promise<T> {
    for (let attempt = 0; attempt < SHARED_ATTEMPTS; attempt++) {
      if (this.#fills.has(key)) this.#options.onOutcome?.('coalesced');
      const answer = await this.#fills.run(key, signal => this.#fill(key, look, signal), call?.signal);
      if (this.#mayUse(answer, call)) return answer.value as T;
    }
    return look.load(call ?? {});
  }

  async #fill<T extends AnswerValue>(key: string, look: LookUp<T>, signal: AbortSignal): Promise<CachedAnswer> {
    const shared = await this.#readShared(key);
    if (shared !== undefined) {
      await this.#keep(key, shared);
      return shared;
    }
    const isKnown = this.#feed.snapshot !== undefined;
    const readAt = this.#options.now();
    const { value, snapshot } = await readWithSnapshot(loading => look.load(loading), { signal });
    const ttlMs = value === undefined ? this.#options.negativeTtlMs : look.ttlMs;
    const answer = { value, snapshot, readAt, ttlMs, dependencies: look.dependencies(value) };
    // Before the feed is there, nobody tells of later writes.
    if (isKnown) {
      await this.#keep(key, answer);
      void this.#shared?.set(key, encodeAnswer(answer, 0, Date.now()), ttlMs);
    }
    return answer;
  }

  async #readShared(key: string): Promise<CachedAnswer | undefined> {
    const text = await this.#shared?.get(key);
    if (text === undefined) return undefined;
    const answer = decodeAnswer(text, this.#options.now(), Date.now());
    if (answer === undefined || !this.#mayUse(answer, undefined)) return undefined;
    // One that is nearly over is not worth having: it would be read anew at once.
    return this.#options.now() - answer.readAt < answer.ttlMs * REFRESH_AT ? answer : undefined;
  }

  async #keep(key: string, answer: CachedAnswer): Promise<void> {
    if (!this.#mayUse(answer, undefined)) return;
    const before = await this.#near.get(key);
    if (before !== undefined && !answer.snapshot.covers(before.snapshot)) return;
    await this.#near.set(key, answer, answer.ttlMs + this.#options.staleIfErrorMs);
  }

  async #loadMany(ids: readonly string[], maxContentBytes: number, call: StoreCall | undefined): Promise<Post[]> {
    const isKnown = this.#feed.snapshot !== undefined;
    const readAt = this.#options.now();
    const { value: posts, snapshot } = await readWithSnapshot(
      loading => this.#store.getMany(ids, maxContentBytes, loading),
      { signal: call?.signal, mustSee: call?.mustSee },
    );
    if (!isKnown) return posts;
    const found = new Map(posts.map(post => [post.id, post]));
    for (const id of ids) {
      const value = found.get(id);
      const ttlMs = value === undefined ? this.#options.negativeTtlMs : this.#options.ttlMs;
      await this.#keep(idKey(id), { value, snapshot, readAt, ttlMs, dependencies: dependenciesOfId(id) });
    }
    return posts;
  }

  async #write(call: StoreCall | undefined, write: (call: StoreCall) => Promise<Post[]>): Promise<Post[]> {
    let committed: bigint | undefined;
    const posts = await write({
      signal: call?.signal,
      committed: xid => {
        committed = xid;
      },
    });
    if (committed !== undefined) {
      const changed = dependenciesOfWrite(posts);
      this.#lastWrites.wrote(changed, committed);
      this.#drop(changed);
      call?.committed?.(committed);
    }
    return posts;
  }

  #forget(changed: ReadonlySet<string>, snapshot: Snapshot): void {
    this.#lastWrites.seen(changed, snapshot);
    this.#drop([...changed]);
  }

  /** They are useless already: this makes room. */
  #drop(keys: readonly string[]): void {
    for (const key of keys) void this.#near.delete(key);
    void this.#shared?.delete(keys);
  }

  #isFresh({ readAt, ttlMs }: CachedAnswer): boolean {
    return this.#options.now() - readAt < ttlMs;
  }

  #mayUse({ snapshot, dependencies }: CachedAnswer, call: StoreCall | undefined): boolean {
    if (!this.#lastWrites.isCurrent(snapshot, dependencies)) return false;
    const mustSee = call?.mustSee;
    // What the feed has told of is in lastWrites, so an answer that is current has it, or does not depend on it.
    return mustSee === undefined || mustSee.every(xid => this.#feed.snapshot?.sees(xid) || snapshot.sees(xid));
  }

  /** Before its time is over, so that nobody has to wait for what is asked for all the time. */
  #refreshSoon<T extends AnswerValue>(key: string, { readAt, ttlMs }: CachedAnswer, look: LookUp<T>): void {
    if (this.#options.now() - readAt < ttlMs * REFRESH_AT || this.#fills.has(key)) return;
    this.#fills.run(key, signal => this.#fill(key, look, signal)).catch(() => {});
  }

  #count(answer: CachedAnswer | undefined): void {
    if (answer === undefined) this.#options.onOutcome?.('miss');
    else this.#options.onOutcome?.(answer.value === undefined ? 'negative' : 'hit');
  }
}

/** What the cache is made of. */
export interface CacheParts {
  readonly store: PostStore;
  readonly feed: Pick<ChangeFeed, 'snapshot' | 'listen'>;
  readonly near: NearTier;
  readonly shared: SharedTier | undefined;
}

export interface CacheOptions {
  /** For how long an answer is used, in milliseconds, should nothing be heard of writes. */
  readonly ttlMs: number;
  /** The same for the answer that there is no such post. */
  readonly negativeTtlMs: number;
  /** The same for lists, of which some change with the time alone. */
  readonly listTtlMs: number;
  /** For how much longer it is used while the database fails. */
  readonly staleIfErrorMs: number;
  /** Milliseconds of a clock that never jumps. */
  readonly now: () => number;
  readonly onOutcome?: (outcome: CacheOutcome) => void;
}

export type CacheOutcome = 'hit' | 'negative' | 'miss' | 'coalesced' | 'stale';

/** The cache in this process. Its promises settle without any I/O. */
export interface NearTier {
  get(key: string): Promise<CachedAnswer | undefined>;
  set(key: string, answer: CachedAnswer, ttlMs: number): Promise<unknown>;
  delete(key: string): Promise<unknown>;
}

/** The cache that instances share. Nothing of it rejects, or takes long. */
export interface SharedTier {
  get(key: string): Promise<string | undefined>;
  set(key: string, text: string, ttlMs: number): Promise<void>;
  delete(keys: readonly string[]): Promise<void>;
}

interface LookUp<T> {
  readonly load: (call: StoreCall) => Promise<T>;
  readonly dependencies: (value: T) => readonly string[];
  readonly ttlMs: number;
}

async function readWithSnapshot<T>(
  load: (call: StoreCall) => Promise<T>,
  call: StoreCall,
): Promise<{ readonly value: T; readonly snapshot: Snapshot }> {
  let snapshot: Snapshot | undefined;
  const value = await load({
    ...call,
    readAt: at => {
      snapshot = at;
    },
  });
  if (snapshot === undefined) throw new Error('the store did not tell the snapshot of its answer');
  return { value, snapshot };
}

function requireFits(posts: readonly Post[], maxContentBytes: number): void {
  const bytes = posts.reduce((sum, { content }) => sum + Buffer.byteLength(content), 0);
  if (bytes > maxContentBytes) throw new PostsTooLargeError(maxContentBytes);
}

const LAST_WRITES_MAX = 50_000;
/** Of the time that an answer may be used. */
const REFRESH_AT = 0.8;
/** A write that comes between makes one work useless; after several, each caller is on its own. */
const SHARED_ATTEMPTS = 3;
