import type { Snapshot } from '#src/db/snapshot.ts';
import type { FeedHead } from '#src/posts/feed/feed-head.ts';
import type { PlaceProof } from '#src/posts/feed/place-proof.ts';
import type { PostChangeBatch } from '#src/posts/feed/post-change.ts';

/** The position of a reader in the feed. */
export interface PostChangePosition {
  /** The reader has read everything that this snapshot sees. */
  readonly from: Snapshot;
  /** The reader is within what this snapshot sees beyond that: after the change `afterId`. */
  readonly to?: Snapshot | undefined;
  readonly afterId?: bigint | undefined;
  /** The proof that the database's history contains `to`, or `from` without it; undefined in a token of the previous release. */
  readonly proof?: PlaceProof | undefined;
}

/** The position of a new reader at this head. */
export function placeOf({ place, proof }: FeedHead): PostChangePosition {
  return { from: place, proof };
}

/** The position of a reader after a batch that continues from its old position. */
export function placeBehind(batch: PostChangeBatch, { from, afterId = 0n }: PostChangePosition): PostChangePosition {
  const { to, endId, proof, complete } = batch;
  return complete ? { from: to, proof } : { from, to, afterId: endId > afterId ? endId : afterId, proof };
}

/** The reader cannot continue: changes that it has not read were removed for their age, or its position is of another history. */
export class PostChangesExpiredError extends Error {
  override readonly name = 'PostChangesExpiredError';
}

/** The position is of another history than the database's. */
export class OtherHistoryError extends PostChangesExpiredError {}

/** The error as a value. @throws any other one. */
export function orExpired(error: unknown): PostChangesExpiredError {
  if (error instanceof PostChangesExpiredError) return error;
  throw error;
}
