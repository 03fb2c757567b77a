import type { Snapshot } from '#src/db/snapshot.ts';
import {
  type FeedHead,
  HEAD,
  HEAD_COLUMNS,
  type HeadRow,
  isProved,
  type RunStatement,
  readHead,
  readWithHead,
} from '#src/posts/feed-head.ts';
import { mostRecent, type PlaceProof } from '#src/posts/place-proof.ts';
import type { PostChange, PostChangeBatch } from '#src/posts/post-change.ts';
import { type PostRow, toPost, toReadable, toTags } from '#src/posts/post-row.ts';

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

/** The reader can't go on: changes that it has not read were removed for their age, or its place is of another history. */
export class PostChangesExpiredError extends Error {
  override readonly name = 'PostChangesExpiredError';
}

/** The place is of another history than the one that the database has. */
export class OtherHistoryError extends PostChangesExpiredError {}

/** The feed's end now, as a place to begin at, and the name of the life that it was read in. @throws what `readHead` does. */
export async function readPosition(run: RunStatement): Promise<PostChangePosition & { readonly life: string }> {
  const { place, proof, life } = await readHead(run);
  return { from: place, proof, life: life.name };
}

/**
 * The changes from a place in the feed on, up to now or up to `to`.
 *
 * It depends on nothing but what is committed: a change that becomes visible late, because its transaction was long, is in the
 * batch of the snapshot that first saw it.
 *
 * @param limit the most changes to read; there are more where the batch is not complete.
 * @throws PostChangesExpiredError; what `readWithHead` does.
 */
export async function readPostChanges(
  run: RunStatement,
  position: PostChangePosition,
  limit: number,
): Promise<PostChangeBatch & { readonly head: FeedHead }> {
  const { from, to, afterId = 0n } = position;
  const { head, rows } = await readWithHead<ChangeRow>(run, CHANGES_STATEMENT, changesParameters(position, limit));
  requireKept(position, head, rows[0]?.is_proved === true);
  const changes = rows.filter(row => row.change_id !== null).map(toChange);
  const proof = { ...head.proof, recent: recentOf(changes, position, head) };
  return {
    ...{ from, to: to ?? head.place, proof: (to && position.proof) ?? proof, afterId, changes, head },
    life: head.life.name,
    complete: changes.length < limit,
  };
}

/** Long transactions first, which are the likeliest to be committed after a later one. */
function recentOf(changes: readonly PostChange[], { from, proof }: PostChangePosition, head: FeedHead): bigint[] {
  const xids = changes.map(({ xid }) => xid).reverse();
  const long = xids.filter(xid => from.hasRunning(xid));
  return mostRecent(
    [...long, ...xids, ...head.proof.recent, ...(proof?.recent ?? []).slice(0, KEPT_RECENT)],
    head.lastXid,
  );
}

function requireKept({ from, to, proof }: PostChangePosition, head: FeedHead, isProved: boolean): void {
  if (proof === undefined) {
    // Its snapshot may name ids that were given out and never used, which is all that can be asked of it.
    if (!head.takesOldTokens || !head.taken.covers(to ?? from))
      throw new PostChangesExpiredError('the place is of a time that this database has not seen');
  } else if (!isProved) {
    throw new OtherHistoryError('the place is of another history than the one that this database has');
  }
  // A truncation has waited for all who wrote posts before it.
  if (!from.hasEnded(head.removed) || (head.truncated !== undefined && !from.sees(head.truncated)))
    throw new PostChangesExpiredError('changes of that time have been removed');
}

/** For CHANGES_STATEMENT. */
export function changesParameters({ from, to, afterId = 0n, proof }: PostChangePosition, limit: number): unknown[] {
  const { id = 0n, digest = '', recent = [] } = proof ?? {};
  return [from.text, to?.text ?? null, String(afterId), limit, String(id), digest, `{${recent}}`];
}

/**
 * What `from` has not seen: what began after it was taken, and what ran when it was. Each is a range of the index, so that a transaction that
 * runs for hours makes nobody read what was committed beside it again and again. Joined afterwards, so that no plan reads the feed from its
 * beginning.
 */
export const CHANGES_STATEMENT = `
  with ${HEAD}, found as materialized (
    select id from (
      select c.id, c.xid from post_changes c where c.xid >= pg_snapshot_xmax($1::pg_snapshot)
      union all
      select c.id, c.xid from post_changes c where c.xid = any (array(select pg_snapshot_xip($1::pg_snapshot)))
    ) unseen
    where ($2::pg_snapshot is null or pg_visible_in_snapshot(xid, $2::pg_snapshot)) and id > $3::bigint
    order by id limit $4
  )
  select ${HEAD_COLUMNS}, ${isProved('$5::bigint', '$6', '$7')} as is_proved,
    c.id::text as change_id, c.xid::text as xid, c.kind, c.at, c.post_id as id, c.slug, c.title, null as content, c.author, c.tags,
    c.publish_time, c.create_time, c.update_time, c.delete_time, c.purge_time, c.revision,
    c.previous_slug, c.previous_author, c.previous_tags
  from head left join (found f join post_changes c on c.id = f.id) on true
  order by c.id`;

function toChange(row: ChangeRow): PostChange {
  return {
    id: BigInt(row.change_id ?? 0),
    xid: BigInt(row.xid),
    kind: row.kind,
    time: row.at,
    post: toPost(toReadable(row)),
    previous:
      row.previous_slug === null
        ? undefined
        : { slug: row.previous_slug, author: row.previous_author ?? '', tags: toTags(row.previous_tags ?? []) },
  };
}

/** All of a change is null where there is none. */
interface ChangeRow extends PostRow, HeadRow {
  readonly taken: string;
  readonly is_proved: boolean;
  readonly change_id: string | null;
  readonly xid: string;
  readonly kind: PostChange['kind'];
  readonly at: Date;
  readonly previous_slug: string | null;
  readonly previous_author: string | null;
  readonly previous_tags: string[] | null;
}

/** Of those of the place before: a transaction may be seen before another one whose commit was logged before its own. */
const KEPT_RECENT = 8;
