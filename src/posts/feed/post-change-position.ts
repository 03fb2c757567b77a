import type { Snapshot } from '#src/db/snapshot.ts';
import type { FeedHead } from '#src/posts/feed/feed-head.ts';
import type { PlaceProof } from '#src/posts/feed/place-proof.ts';
import type { PostChangeBatch } from '#src/posts/feed/post-change.ts';

/** Where a reader of the feed stands. */
export interface PostChangePosition {
  /** It has read what this one has seen. */
  readonly from: Snapshot;
  /** It is in the middle of what this one has seen beyond that: behind the change `afterId`. */
  readonly to?: Snapshot | undefined;
  readonly afterId?: bigint | undefined;
  /** That the database's history has come by `to`, or by `from` without it; undefined in a token of the release before. */
  readonly proof?: PlaceProof | undefined;
}

/** Where readers begin who have read nothing of a head. */
export function placeOf({ place, proof }: FeedHead): PostChangePosition {
  return { from: place, proof };
}

/** Where a reader who stood at this place stands when it has read a batch that goes on from there. */
export function placeBehind(batch: PostChangeBatch, { from, afterId = 0n }: PostChangePosition): PostChangePosition {
  const { to, endId, proof, complete } = batch;
  return complete ? { from: to, proof } : { from, to, afterId: endId > afterId ? endId : afterId, proof };
}

/** The reader can't go on: changes that it has not read were removed for their age, or its place is of another history. */
export class PostChangesExpiredError extends Error {
  override readonly name = 'PostChangesExpiredError';
}

/** The place is of another history than the one that the database has. */
export class OtherHistoryError extends PostChangesExpiredError {}

/** The error as a value. @throws any other one. */
export function orExpired(error: unknown): PostChangesExpiredError {
  if (error instanceof PostChangesExpiredError) return error;
  throw error;
}
