import type { Snapshot } from '#src/db/snapshot.ts';
import type { PlaceProof } from '#src/posts/feed/place-proof.ts';
import type { Post } from '#src/posts/post.ts';
import type { PostFilter } from '#src/posts/post-store.ts';

/** What happened to a post, from the change feed. */
export interface PostChange {
  /** The order of one post's changes. */
  readonly id: bigint;
  /** The transaction that made it. */
  readonly xid: bigint;
  readonly kind: PostChangeKind;
  readonly time: Date;
  /** As it was after the change, without its content; where it was purged, as it was before. */
  readonly post: Post;
  /** What proves that a history has it (PlaceProof). */
  readonly digest: string;
  /** What it was before; undefined for a new post. */
  readonly previous: Pick<Post, 'slug' | 'author' | 'tags'> | undefined;
}

/** `purged`: its row is gone. */
export type PostChangeKind = 'created' | 'updated' | 'deleted' | 'undeleted' | 'purged';

/** All or a part of what was committed between two snapshots: first things that `from` has not seen and `to` has. */
export interface PostChangeBatch {
  readonly from: Snapshot;
  readonly to: Snapshot;
  /** That the database's history has come by `to`. */
  readonly proof: PlaceProof;
  /** The name of the life in which it was read. */
  readonly life: string;
  /** It begins behind the change with this id: 0 where it is the first part of all between the two. */
  readonly afterId: bigint;
  /** Each post's changes in their order; others in about the order of their writes. */
  readonly changes: readonly PostChange[];
  /** Where it is not complete: it has all up to the one with this id. */
  readonly endId: bigint;
  /** False: there may be more between the two, with higher ids. */
  readonly complete: boolean;
}

/** Which changes are wanted: of posts with this author and this tag, now or before the change. */
export type ChangeFilter = Pick<PostFilter, 'author' | 'tag'>;

export const EVERY_CHANGE: ChangeFilter = { author: undefined, tag: undefined };

/** Whether the post is one that the filter lets through, or was one before. */
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
