import type { Snapshot } from '#src/db/snapshot.ts';
import type { AuthoredFields, Post } from '#src/posts/post.ts';
import type { SlugChoice } from '#src/posts/slug.ts';
import type { Criticality } from '#src/resilience/criticality.ts';

/**
 * Where posts are kept. What holds for one implementation holds for all: the contract suite in test/posts runs on each.
 *
 * Any method may throw DatabaseUnavailableError, WriteConflictError or StatementTimeoutError, or the reason of `call.signal`.
 * Posts and pages do not change any more when they have been returned: they may be shared.
 */
export interface PostStore {
  /** The post with this id, soft-deleted or not. */
  getById(id: string, call?: StoreCall): Promise<Post | undefined>;

  /** The live post with this slug, or else the one that was deleted last. */
  getBySlug(slug: string, call?: StoreCall): Promise<Post | undefined>;

  /**
   * The posts with these ids, soft-deleted ones included, in no certain order; ids that are absent are left out.
   *
   * @throws PostsTooLargeError where they have more than `maxContentBytes` of content together.
   */
  getMany(ids: readonly string[], maxContentBytes: number, call?: StoreCall): Promise<Post[]>;

  /**
   * One page of posts.
   *
   * @throws PostsTooLargeError where it would end early for its content, and is to be whole.
   */
  list(query: PostQuery, call?: StoreCall): Promise<PostPage>;

  /**
   * Creates all of the posts, or none, and returns them in the same order. Where a request id came before with the same
   * digest, the result is what that call created, and nothing is written for it.
   *
   * @throws SlugTakenError where a slug is taken that no other may replace; RequestIdReusedError.
   */
  create(posts: readonly NewPost[], options: WriteOptions, call?: StoreCall): Promise<Post[]>;

  /**
   * Sets the given fields of a live post.
   *
   * @throws PostNotFoundError, PostDeletedError, EtagMismatchError, SlugTakenError.
   */
  update(id: string, changes: Partial<AuthoredFields>, options: UpdateOptions, call?: StoreCall): Promise<Post>;

  /**
   * Soft-deletes a live post.
   *
   * @throws PostNotFoundError, PostDeletedError, EtagMismatchError.
   */
  delete(id: string, etag: string | undefined, call?: StoreCall): Promise<Post>;

  /**
   * Brings a soft-deleted post back.
   *
   * @throws PostNotFoundError, PostNotDeletedError, EtagMismatchError, SlugTakenError.
   */
  undelete(id: string, etag: string | undefined, call?: StoreCall): Promise<Post>;
}

/** What a call wants of the store, and what it is told beside the result. */
export interface StoreCall {
  /** Aborts the work; the promise then rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** Transactions whose writes a read has to see. */
  readonly minTransactions?: readonly bigint[] | undefined;
  /** A read has to see all that is committed by now, which a replica may lack. */
  readonly fresh?: boolean | undefined;
  /** When the caller stops waiting, by `performance.now()`; undefined: never. What waits for its turn asks, and perhaps again. */
  readonly deadline?: (() => number | undefined) | undefined;
  /** How much the call matters, where not all can be served. */
  readonly criticality?: Criticality | undefined;
  /** The answer to a read is what this snapshot of the database has. */
  readAt?(snapshot: Snapshot): void;
  /** The database fails, and the answer to a read is what it had so many milliseconds ago. */
  servedStale?(ageMs: number): void;
  /** This transaction has committed the write, on a server of this timeline; 0: not told. Not called where nothing was written. */
  committed?(xid: bigint, timeline: number): void;
}

/** A post to create. */
export interface NewPost extends AuthoredFields, SlugChoice {
  readonly id: string;
  readonly request: { readonly id: string; readonly digest: Uint8Array } | undefined;
}

export interface WriteOptions {
  /** Do everything but write. */
  readonly validateOnly: boolean;
}

export interface UpdateOptions extends WriteOptions {
  /** Update only this version. */
  readonly etag: string | undefined;
  /** Where another live post has the slug that is set: the others to take, in this order. None: the update is refused then. */
  readonly slugIfTaken?: readonly string[] | undefined;
}

/** Which posts to list, from where, and in which order. */
export interface PostQuery extends PostFilter {
  readonly order: PostOrder;
  /** Where to go on; undefined: at the start. */
  readonly after: PostCursor | undefined;
  /** How many posts to pass over from there. */
  readonly skip: number;
  /** The most posts to return. */
  readonly limit: number;
  /** The page ends before its content gets larger than this, though not before its first post. 0: content is not read. */
  readonly maxContentBytes: number;
  /** The page has as many posts as its limit allows, or it is not read. */
  readonly isWhole?: boolean;
}

export interface PostFilter {
  readonly author: string | undefined;
  readonly tag: string | undefined;
  readonly state: 'draft' | 'scheduled' | 'published' | undefined;
  readonly showDeleted: boolean;
}

export interface PostOrder {
  /** Drafts have no publish time, and stand behind every post that has one. */
  readonly by: 'createTime' | 'updateTime' | 'publishTime';
  readonly descending: boolean;
}

/** A place in an ordered list: behind the post with this time and id. `time` undefined: a draft's publish time. */
export interface PostCursor {
  readonly time: Date | undefined;
  readonly id: string;
}

export interface PostPage {
  readonly posts: readonly Post[];
  /** Where the next page begins; undefined: this is the last. */
  readonly next: PostCursor | undefined;
}

export class PostNotFoundError extends Error {
  override readonly name = 'PostNotFoundError';
  /** The ids or slugs that no post has. */
  readonly keys: readonly string[];

  constructor(keys: readonly string[]) {
    super(`no post ${keys.map(key => `'${key}'`).join(', ')}`);
    this.keys = keys;
  }
}

export class PostDeletedError extends Error {
  override readonly name = 'PostDeletedError';
  readonly id: string;

  constructor(id: string) {
    super(`post '${id}' is deleted; UndeletePost brings it back`);
    this.id = id;
  }
}

export class PostNotDeletedError extends Error {
  override readonly name = 'PostNotDeletedError';
  readonly id: string;

  constructor(id: string) {
    super(`post '${id}' is not deleted`);
    this.id = id;
  }
}

export class SlugTakenError extends Error {
  override readonly name = 'SlugTakenError';
  readonly slug: string;

  constructor(slug: string) {
    super(`another live post has the slug '${slug}'`);
    this.slug = slug;
  }
}

export class EtagMismatchError extends Error {
  override readonly name = 'EtagMismatchError';
  readonly id: string;
  readonly currentEtag: string;

  constructor(id: string, currentEtag: string) {
    super(`post '${id}' was changed meanwhile: get it again, and repeat the change on what it is now`);
    this.id = id;
    this.currentEtag = currentEtag;
  }
}

export class RequestIdReusedError extends Error {
  override readonly name = 'RequestIdReusedError';
  readonly requestId: string;

  constructor(requestId: string) {
    super(`request_id '${requestId}' was used before with another payload`);
    this.requestId = requestId;
  }
}

export class PostsTooLargeError extends Error {
  override readonly name = 'PostsTooLargeError';
  readonly maxContentBytes: number;

  constructor(maxContentBytes: number) {
    super(`the posts have more than ${maxContentBytes} bytes of content together: ask for fewer at a time`);
    this.maxContentBytes = maxContentBytes;
  }
}
