import { Snapshot } from '#src/db/snapshot.ts';
import type { PostChange, PostChangeBatch } from '#src/posts/post-change.ts';
import { type PostRow, toPost, toReadable, toTags } from '#src/posts/post-row.ts';

/** Where a reader of the feed stands. */
export interface PostChangePosition {
  /** It has read what this one has seen. */
  readonly from: Snapshot;
  /** It is in the middle of what this one has seen beyond that: behind the change `afterId`. */
  readonly to?: Snapshot | undefined;
  readonly afterId?: bigint | undefined;
}

/** Changes have been removed for their age that the reader has not read, or the place is none of this database. */
export class PostChangesExpiredError extends Error {
  override readonly name = 'PostChangesExpiredError';
}

/** Runs one statement, and gives its rows. */
export type RunStatement = <Row extends object>(text: string, values: readonly unknown[]) => Promise<Row[]>;

/** The server's snapshot now: where a reader begins who wants what comes from here on. */
export async function readSnapshot(run: RunStatement): Promise<Snapshot> {
  const [row] = await run<{ taken: string }>('select pg_current_snapshot()::text as taken', []);
  return new Snapshot(row?.taken ?? '');
}

/**
 * The changes from a place in the feed on, up to now or up to `to`.
 *
 * It depends on nothing but what is committed: a change that becomes visible late, because its transaction was long, is in the
 * batch of the snapshot that first saw it.
 *
 * @param limit the most changes to read; there are more where the batch is not complete.
 * @throws PostChangesExpiredError.
 */
export async function readPostChanges(
  run: RunStatement,
  { from, to, afterId = 0n }: PostChangePosition,
  limit: number,
): Promise<PostChangeBatch> {
  const rows = await run<ChangeRow>(CHANGES_STATEMENT, [from.text, to?.text ?? null, String(afterId), limit]);
  const [first] = rows;
  if (first === undefined) throw new Error('the table post_changes_removed has lost its row');
  // A truncation has waited for all who wrote posts before it.
  const truncated = first.truncated === null ? undefined : BigInt(first.truncated);
  if (!from.hasEnded(BigInt(first.removed)) || (truncated !== undefined && !from.sees(truncated)))
    throw new PostChangesExpiredError('changes of that time have been removed');
  const taken = new Snapshot(first.taken);
  // Of another database, or of this one before it was restored from a backup.
  if (!taken.covers(to ?? from))
    throw new PostChangesExpiredError('the place is of a time that this database has not seen');
  const changes = rows.filter(row => row.change_id !== null).map(toChange);
  return { from, to: to ?? taken, afterId, changes, complete: changes.length < limit };
}

/**
 * What `from` has not seen: what began after it was taken, and what ran when it was. Each is a range of the index, so that a transaction that
 * runs for hours makes nobody read what was committed beside it again and again. Joined afterwards, so that no plan reads the feed from its
 * beginning.
 */
export const CHANGES_STATEMENT = `
  with found as materialized (
    select id from (
      select c.id, c.xid from post_changes c where c.xid >= pg_snapshot_xmax($1::pg_snapshot)
      union all
      select c.id, c.xid from post_changes c where c.xid = any (array(select pg_snapshot_xip($1::pg_snapshot)))
    ) unseen
    where ($2::pg_snapshot is null or pg_visible_in_snapshot(xid, $2::pg_snapshot)) and id > $3::bigint
    order by id limit $4
  )
  select pg_current_snapshot()::text as taken, r.xid::text as removed, r.truncate_xid::text as truncated,
    c.id::text as change_id, c.xid::text as xid, c.kind, c.at, c.post_id as id, c.slug, c.title, null as content, c.author, c.tags,
    c.publish_time, c.create_time, c.update_time, c.delete_time, c.purge_time, c.revision,
    c.previous_slug, c.previous_author, c.previous_tags
  from post_changes_removed r left join (found f join post_changes c on c.id = f.id) on true
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
interface ChangeRow extends PostRow {
  readonly taken: string;
  readonly removed: string;
  readonly truncated: string | null;
  readonly change_id: string | null;
  readonly xid: string;
  readonly kind: PostChange['kind'];
  readonly at: Date;
  readonly previous_slug: string | null;
  readonly previous_author: string | null;
  readonly previous_tags: string[] | null;
}
