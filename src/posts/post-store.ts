import type { Snapshot } from '#src/db/snapshot.ts';
import type { AuthoredFields, Post } from '#src/posts/post.ts';
import type { SlugChoice } from '#src/posts/slug.ts';
import type { Criticality } from '#src/resilience/criticality.ts';

/**
 * Stores posts. The contract suite in test/posts/store runs on every implementation.
 *
 * Any method may throw DatabaseUnavailableError, WriteConflictError or StatementTimeoutError, or the reason of `call.signal`.
 * Posts and pages never change after they are returned, so callers may share them.
 */
export interface PostStore {
  /** The post with this id, soft-deleted or not. */
  getById(id: string, call?: StoreCall): Promise<Post | undefined>;

  /** The live post with this slug; without one, the post that was deleted last. */
  getBySlug(slug: string, call?: StoreCall): Promise<Post | undefined>;

  /**
   * The posts with these ids, in no certain order. Soft-deleted posts are included; unknown ids are left out.
   *
   * @throws PostsTooLargeError if their content together exceeds `maxContentBytes`.
   */
  getMany(ids: readonly string[], maxContentBytes: number, call?: StoreCall): Promise<Post[]>;

  /**
   * One page of posts.
   *
   * @throws PostsTooLargeError if `isWhole` is set and the content exceeds `maxContentBytes`.
   */
  list(query: PostQuery, call?: StoreCall): Promise<PostPage>;

  /**
   * Creates all of the posts, or none, and returns them in the same order. A request id that came before with the same
   * digest writes nothing, and returns what the first call created.
   *
   * @throws SlugTakenError if a slug is taken and has no alternative; RequestIdReusedError.
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

/** A call's demands on the store, and its callbacks. */
export interface StoreCall {
  /** Aborts the work; the promise then rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
  /** A read must see the writes of these transactions. */
  readonly minTransactions?: readonly bigint[] | undefined;
  /** A read must see everything committed so far, which a replica may lack. */
  readonly fresh?: boolean | undefined;
  /** When the caller stops waiting, by `performance.now()`; undefined: never. Queues may ask repeatedly. */
  readonly deadline?: (() => number | undefined) | undefined;
  /** How much the call matters under overload. */
  readonly criticality?: Criticality | undefined;
  /** The read answers from this snapshot of the database. */
  readAt?(snapshot: Snapshot): void;
  /** The database fails, so the read answers with data of this age in milliseconds. */
  servedStale?(ageMs: number): void;
  /** This transaction committed the write, on a server of this timeline; 0: unknown. Not called if nothing was written. */
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
  /** Slugs to try, in order, if another live post has the one in the update. Without any, the update fails. */
  readonly slugIfTaken?: readonly string[] | undefined;
}

/** Which posts to list, from where, and in which order. */
export interface PostQuery extends PostFilter {
  readonly order: PostOrder;
  /** The page begins behind this place; undefined: at the start. */
  readonly after: PostCursor | undefined;
  /** How many posts to skip from there. */
  readonly skip: number;
  /** The most posts to return. */
  readonly limit: number;
  /** The page ends before its content exceeds this, but has at least one post. 0: content is not read. */
  readonly maxContentBytes: number;
  /** Fail rather than end the page early for its content. */
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

/** A place in an ordered list, behind the post with this time and id. `time` undefined: a draft's publish time. */
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
    super(`post '${id}' is deleted: call UndeletePost to restore it`);
    this.id = id;
  }
}

export class PostNotDeletedError extends Error {
  override readonly name = 'PostNotDeletedError';
  readonly id: string;

  constructor(id: string) {
    super(`post '${id}' is not deleted: only a deleted post can be undeleted`);
    this.id = id;
  }
}

export class SlugTakenError extends Error {
  override readonly name = 'SlugTakenError';
  readonly slug: string;

  constructor(slug: string) {
    super(`another live post has the slug '${slug}': choose a different one`);
    this.slug = slug;
  }
}

export class EtagMismatchError extends Error {
  override readonly name = 'EtagMismatchError';
  readonly id: string;
  readonly currentEtag: string;

  constructor(id: string, currentEtag: string) {
    super(`post '${id}' has changed since its etag was read: get it again, and repeat the change`);
    this.id = id;
    this.currentEtag = currentEtag;
  }
}

export class RequestIdReusedError extends Error {
  override readonly name = 'RequestIdReusedError';
  readonly requestId: string;

  constructor(requestId: string) {
    super(`request_id '${requestId}' was used before with another payload: send a new UUID`);
    this.requestId = requestId;
  }
}

export class PostsTooLargeError extends Error {
  override readonly name = 'PostsTooLargeError';
  readonly maxContentBytes: number;

  constructor(maxContentBytes: number) {
    super(`the posts together have more than ${maxContentBytes} bytes of content: request fewer posts at a time`);
    this.maxContentBytes = maxContentBytes;
  }
}
