import type { Snapshot } from '#src/db/snapshot.ts';
import type { PlaceProof } from '#src/posts/feed/place-proof.ts';
import type { Post } from '#src/posts/post.ts';
import type { PostFilter } from '#src/posts/post-store.ts';

/** One change of a post, from the change feed. */
export interface PostChange {
  /** Orders the changes of one post. */
  readonly id: bigint;
  /** The transaction of the change. */
  readonly xid: bigint;
  readonly kind: PostChangeKind;
  readonly time: Date;
  /** The post after the change, without its content. For a purged post: before the change. */
  readonly post: Post;
  /** Proves that a history has the change (PlaceProof). */
  readonly digest: string;
  /** The post before the change; undefined for a new post. */
  readonly previous: Pick<Post, 'slug' | 'author' | 'tags'> | undefined;
}

/** `purged`: the row is removed. */
export type PostChangeKind = 'created' | 'updated' | 'deleted' | 'undeleted' | 'purged';

/** The changes, or a part of them, that `to` sees and `from` does not. */
export interface PostChangeBatch {
  readonly from: Snapshot;
  readonly to: Snapshot;
  /** The proof that the database's history contains `to`. */
  readonly proof: PlaceProof;
  /** The name of the life in which the batch was read. */
  readonly life: string;
  /** The batch begins after the change with this id; 0: it is the first part. */
  readonly afterId: bigint;
  /** The changes of each post in their order; others in about the order of their writes. */
  readonly changes: readonly PostChange[];
  /** If it is not complete: it has all changes up to this id. */
  readonly endId: bigint;
  /** False: there may be more changes between the two, with higher ids. */
  readonly complete: boolean;
}

/** Selects changes of posts with this author and this tag, now or before the change. */
export type ChangeFilter = Pick<PostFilter, 'author' | 'tag'>;

export const EVERY_CHANGE: ChangeFilter = { author: undefined, tag: undefined };

/** Whether the post matches the filter, or matched it before the change. */
export function isWanted({ post, previous }: PostChange, { author, tag }: ChangeFilter): boolean {
  return [post, previous].some(
    version =>
      version !== undefined &&
      (author === undefined || version.author === author) &&
      (tag === undefined || version.tags.includes(tag)),
  );
}

/** Hears of changes from the feed. It must not throw, and must not take long. */
export interface ChangeListener {
  /** Every batch once, in order. */
  onBatch(batch: PostChangeBatch): void;
  /** Changes up to this snapshot were missed, and cannot be read any more. */
  onGap(upTo: Snapshot): void;
}
