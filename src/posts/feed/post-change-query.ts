import {
  digestOf,
  type FeedHead,
  HEAD,
  HEAD_COLUMNS,
  type HeadRow,
  isProved,
  type RunStatement,
  readHead,
  readWithHead,
} from '#src/posts/feed/feed-head.ts';
import { mostRecent } from '#src/posts/feed/place-proof.ts';
import {
  type ChangeFilter,
  EVERY_CHANGE,
  isWanted,
  type PostChange,
  type PostChangeBatch,
} from '#src/posts/feed/post-change.ts';
import {
  OtherHistoryError,
  type PostChangePosition,
  PostChangesExpiredError,
  placeOf,
} from '#src/posts/feed/post-change-position.ts';
import { type PostRow, postColumnNames, toPost, toReadable, toTags } from '#src/posts/store/post-row.ts';

/** The end of the feed as a position. @throws what `readHead` does. */
export async function readPosition(run: RunStatement): Promise<PostChangePosition> {
  return placeOf(await readHead(run));
}

/**
 * A position that many changes, or fewer, before another one. If a part of them was removed, it is after that part. Reading continues from
 * there up to the other position.
 *
 * @throws what `readHead` does.
 */
export async function readPlaceBefore(
  run: RunStatement,
  { from, proof }: PostChangePosition,
  changes: number,
): Promise<PostChangePosition> {
  const { removed, truncated = 0n } = await readHead(run);
  const [first] = await run<{ xid: string | null; id: string | null }>(
    `select min(xid::text::numeric)::text as xid, min(id)::text as id from (
       select xid, id from post_changes where xid < pg_snapshot_xmax($1::pg_snapshot) order by xid desc, id desc limit $2
     ) latest`,
    [from.text, changes],
  );
  const unread = [removed, truncated, BigInt(first?.xid ?? 0)].reduce((a, b) => (a > b ? a : b));
  return { from: from.upTo(unread), to: from, afterId: BigInt(first?.id ?? 1) - 1n, proof };
}

/**
 * The next batch of changes after a position, up to now or up to `to`, within the limits.
 *
 * It depends only on what is committed. A change that becomes visible late, because its transaction was long, is in the batch of the first
 * snapshot that sees it.
 *
 * @param filters a change that matches none of them is left out, so a batch may be empty and not be the last one.
 * @throws PostChangesExpiredError; what `readWithHead` does.
 */
export async function readPostChanges(
  run: RunStatement,
  position: PostChangePosition,
  filters: readonly ChangeFilter[] = [EVERY_CHANGE],
  limits: BatchLimits = BATCH_LIMITS,
): Promise<PostChangeBatch & { readonly head: FeedHead }> {
  const { from, to, afterId = 0n } = position;
  const statement = limits === BATCH_LIMITS ? CHANGES_STATEMENT : changesStatement(limits);
  const name = limits === BATCH_LIMITS ? 'read-post-changes' : undefined;
  const { head, rows } = await readWithHead<ChangeRow>(run, statement, changesParameters(position, filters), name);
  const [first] = rows;
  requireKept(position, head, first?.is_proved === true);
  const found = rows.filter(row => row.change_id !== null).map(toChange);
  const changes = found.filter(change => filters.some(filter => isWanted(change, filter)));
  const proof = { ...head.proof, recent: recentOf(found, position, head) };
  return {
    ...{ from, to: to ?? head.place, proof: (to && position.proof) ?? proof, afterId, changes, head },
    life: head.life.name,
    endId: BigInt(first?.end_id ?? 0),
    complete: first?.is_complete === true,
  };
}

/** Long transactions first, because they are the likeliest to be committed after a later one. */
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
    // Its snapshot may have ids that were given out and never used. Nothing more can be checked.
    if (!head.takesOldTokens || !head.taken.covers(to ?? from))
      throw new PostChangesExpiredError('the position is of a time that this database has not seen');
  } else if (!isProved) {
    throw new OtherHistoryError('the position is of another history than that of this database');
  }
  // A truncation waits for all earlier writers of posts.
  if (!from.hasEnded(head.removed) || (head.truncated !== undefined && !from.sees(head.truncated)))
    throw new PostChangesExpiredError('changes of that time have been removed');
}

/** The parameters of CHANGES_STATEMENT. */
export function changesParameters(
  { from, to, afterId = 0n, proof }: PostChangePosition,
  filters: readonly ChangeFilter[] = [EVERY_CHANGE],
): unknown[] {
  const { id = 0n, digest = '', recent = [] } = proof ?? {};
  const place = [from.text, to?.text ?? null, String(afterId), String(id), digest, `{${recent}}`];
  if (filters.some(({ author, tag }) => author === undefined && tag === undefined)) return [...place, null, null];
  const authors = filters.flatMap(({ author }) => author ?? []);
  // A filter with both is searched by its author: other posts of that author may have the tag or not.
  return [...place, authors, filters.flatMap(({ author, tag }) => (author === undefined ? (tag ?? []) : []))];
}

/** Limits of a batch, in numbers of changes. */
export interface BatchLimits {
  /** The most changes of a batch. */
  readonly found: number;
  /** The most changes that are examined. */
  readonly scanned: number;
  /** Up to this many unseen changes are searched by transaction. Beyond it, changes are searched by id. */
  readonly near: number;
}

/** More would block the event loop for too long, and Postgres examines this many in one or two milliseconds. */
export const BATCH_LIMITS: BatchLimits = { found: 125, scanned: 1000, near: 250 };

const IS_WANTED = `
  ($2::pg_snapshot is null or pg_visible_in_snapshot(c.xid, $2::pg_snapshot)) and ($7::text[] is null
    or c.author = any ($7) or c.previous_author = any ($7) or c.tags && $8::text[] or c.previous_tags && $8)`;

/** The post as it was then. Its id has another name here. */
const POST_COLUMNS = postColumnNames.flatMap(name => (name === 'id' ? [] : `c.${name}`)).join(', ');

/**
 * The changes that `from` has not seen, in the order of ids, at a bounded cost wherever `from` is.
 *
 * Transactions that began after `from` are a range of the index by transaction, `near`. If it is large, only its beginning is read, and
 * changes are searched by id instead, from the last mark before `from`, or from the last change that was read. Each transaction that ran at
 * `from` is its own range, however much was committed beside it. So no change is in two of the three parts.
 *
 * `scanned` is read only as far as `found` needs, which is why `found` has no order of its own. Each change is fetched by its id with a
 * limit, because a plan with old statistics would join them with all changes.
 */
const changesStatement = ({ found, scanned, near }: BatchLimits) => `
  with ${HEAD}, near as materialized (
    select c.id from post_changes c where $3::bigint = 0 and c.xid >= pg_snapshot_xmax($1::pg_snapshot)
    order by c.xid, c.id limit ${near + 1}
  ), start as materialized (
    select $3::bigint = 0 and (select count(*) from near) <= ${near} as is_near, greatest($3::bigint, (
      select k.id from post_changes_marks k where k.xid < pg_snapshot_xmax($1::pg_snapshot) order by k.xid desc limit 1
    )) as after_id
  ), scanned as materialized (
    select id, is_wanted from (
      (
        select c.id, ${IS_WANTED} as is_wanted from post_changes c
        where (select is_near from start) and c.id = any (array(select id from near)) order by c.id
      ) union all (
        select c.id, not pg_visible_in_snapshot(c.xid, $1::pg_snapshot) and ${IS_WANTED} as is_wanted from post_changes c
        where not (select is_near from start) and c.id > (select after_id from start) order by c.id limit ${scanned}
      ) union all (
        select c.id, ${IS_WANTED} as is_wanted
        from unnest(array(select pg_snapshot_xip($1::pg_snapshot))) as running (xid) cross join lateral (
          select * from post_changes o where o.xid = running.xid and o.id > $3::bigint
            and ((select is_near from start) or o.id <= (select after_id from start))
          order by o.id limit ${scanned}
        ) c order by c.id
      )
    ) unseen order by id limit ${scanned}
  ), found as materialized (
    select id from scanned where is_wanted limit ${found}
  ), reached as materialized (
    select
      case when f.count = ${found} then f.last else coalesce((select max(id) from scanned), $3::bigint) end as end_id,
      f.count < ${found} and (select count(*) from scanned) < ${scanned} as is_complete
    from (select count(*), max(id) as last from found) f
  )
  select ${HEAD_COLUMNS}, ${isProved('$4::bigint', '$5', '$6')} as is_proved, reached.end_id::text as end_id, reached.is_complete,
    c.id::text as change_id, c.xid::text as xid, c.kind, c.at, c.post_id as id, null as content, ${POST_COLUMNS},
    c.previous_slug, c.previous_author, c.previous_tags, ${digestOf('c.xid', 'c.id', 'c.post_id', 'c.at')} as change_digest
  from head cross join reached cross join mark m left join (
    found f cross join lateral (select * from post_changes o where o.id = f.id limit 1) c
  ) on true
  order by c.id`;

export const CHANGES_STATEMENT = changesStatement(BATCH_LIMITS);

function toChange(row: ChangeRow): PostChange {
  return {
    id: BigInt(row.change_id ?? 0),
    xid: BigInt(row.xid),
    kind: row.kind,
    time: row.at,
    digest: row.change_digest,
    post: toPost(toReadable(row)),
    previous:
      row.previous_slug === null
        ? undefined
        : { slug: row.previous_slug, author: row.previous_author ?? '', tags: toTags(row.previous_tags ?? []) },
  };
}

/** The columns of a change are null if there is none. */
interface ChangeRow extends PostRow, HeadRow {
  readonly taken: string;
  readonly is_proved: boolean;
  readonly end_id: string;
  readonly is_complete: boolean;
  readonly change_id: string | null;
  readonly change_digest: string;
  readonly xid: string;
  readonly kind: PostChange['kind'];
  readonly at: Date;
  readonly previous_slug: string | null;
  readonly previous_author: string | null;
  readonly previous_tags: string[] | null;
}

/**
 * How many transactions of the earlier position are kept: a transaction may be visible before another one whose commit was logged first.
 */
const KEPT_RECENT = 8;
