import { type RawBuilder, sql } from 'kysely';
import { IS_WAITING } from '#src/db/migrations/due-posts.ts';
import type { PostFilter, PostQuery } from '#src/posts/post-store.ts';

/** Rows of one range of one index, in the order of a time and the id. */
export interface ListRange {
  /** `post_tags` has the positions of posts in lists by tag. */
  readonly table: 'posts' | 'post_tags';
  readonly time: 'create_time' | 'update_time' | 'publish_order';
  readonly conditions: readonly RawBuilder<unknown>[];
  /** The range has another order, and few rows, however long the list is. */
  readonly isSmall?: boolean;
}

/**
 * The ranges whose union is the list. No post is in two of them.
 *
 * In the order of the publish time, a state is a part of the order. In other orders, posts are on shelves: see
 * src/db/migrations/0005-list-shelves.ts. A shelf's "scheduled" or "published" was right at some time, so the exact condition is added. The
 * ranges `due` and `early` have the posts that are on the wrong shelf.
 */
export function listRanges(query: PostQuery): ListRange[] {
  if (query.order.by === 'publishTime') return deletedOf(query).map(deleted => byPublishTime(query, deleted));
  const isAny = query.state === undefined && query.author === undefined && query.tag === undefined;
  if (isAny && query.order.by === 'createTime') {
    return deletedOf(query).map(deleted => ({
      table: 'posts',
      time: 'create_time',
      conditions: [sql`deleted = ${sql.lit(deleted)}`],
    }));
  }
  const time = query.order.by === 'createTime' ? 'create_time' : 'update_time';
  const shelves = deletedOf(query).flatMap(deleted =>
    statesOf(query).flatMap(state => [false, true].map(updated => byShelf(query, time, { deleted, updated, state }))),
  );
  return [...shelves, ...misplaced(query, time)];
}

function byPublishTime(query: PostQuery, deleted: boolean): ListRange {
  const { author, tag, after, order, state } = query;
  const isAll = author === undefined && tag === undefined;
  const conditions = isAll
    ? [sql`deleted = ${sql.lit(deleted)}`]
    : [isInList(query, sql`deleted::int`, Number(deleted)), ...isTagged(query)];
  // The bound on the cursor's side must not reach the index: it is the weaker one, and a scan would begin there, and not at the cursor.
  const [lower, upper] = BOUNDS[state ?? 'any'];
  if (lower !== undefined) conditions.push(after === undefined || order.descending ? lower : unseen(lower));
  if (upper !== undefined) conditions.push(after === undefined || !order.descending ? upper : unseen(upper));
  return { table: tableOf(query), time: 'publish_order', conditions };
}

/** Drafts must not be compared as equal to infinity: Postgres would then order them by id, and search them along all posts. */
const BOUNDS = {
  any: [undefined, undefined],
  draft: [sql`publish_order >= 'infinity'`, undefined],
  scheduled: [sql`publish_order > now()`, sql`publish_order < 'infinity'`],
  published: [undefined, sql`publish_order <= now()`],
} as const;

/** Posts that were never updated have the same position in the orders of update and creation. */
function byShelf(query: PostQuery, orderTime: 'create_time' | 'update_time', shelf: Shelf): ListRange {
  const number = (shelf.deleted ? 6 : 0) + (shelf.updated ? 3 : 0) + STATES[shelf.state];
  const conditions = [isInList(query, SHELF, number), ...isTagged(query), ...isInState(query)];
  const time = shelf.updated ? orderTime : 'create_time';
  if (time === 'update_time') conditions.push(sql`update_time <> create_time`);
  return { table: tableOf(query), time, conditions };
}

/** Posts that have come due and are not noted yet, and posts whose update time is in the future, by another clock. */
function misplaced(query: PostQuery, time: 'create_time' | 'update_time'): ListRange[] {
  if (query.state !== 'published' && query.state !== 'scheduled') return [];
  const conditions = [...postConditions(query)];
  if (query.state === 'published') {
    // The planner cannot estimate this limit. It matches nearly nothing, contrary to what the order of all posts suggests.
    const past = sql`publish_order >= (select '-infinity'::timestamptz) and publish_order <= (select now())`;
    return [{ table: 'posts', time, conditions: [...conditions, IS_WAITING, past], isSmall: true }];
  }
  return [false, true].map(updated => {
    const shelves = [STATES.published, STATES.published + 6].map(shelf => shelf + (updated ? 3 : 0));
    const early = updated ? sql`update_time <> create_time and update_time > now()` : sql`create_time > now()`;
    const isScheduled = sql`publish_order > now() and publish_order < 'infinity'`;
    const onShelf = sql`${SHELF} in (${sql.join(shelves.map(shelf => sql.lit(shelf)))})`;
    return { table: 'posts', time, conditions: [...conditions, onShelf, early, isScheduled], isSmall: true };
  });
}

/** The condition of the filter on a row of `posts`. */
function postConditions({ author, tag, showDeleted }: PostFilter): RawBuilder<unknown>[] {
  return [
    ...(author === undefined ? [] : [sql`author = ${author}`]),
    ...(tag === undefined ? [] : [sql`${tag} = any(tags)`]),
    ...(showDeleted ? [] : [sql`not deleted`]),
  ];
}

/** The first columns of an index of src/db/migrations/list-indexes.ts. */
function isInList({ author, tag }: PostFilter, list: RawBuilder<unknown>, number: number): RawBuilder<unknown> {
  const keyOf = (code: RawBuilder<unknown>, a: RawBuilder<unknown>, t: RawBuilder<unknown>) => {
    if (author === undefined && tag === undefined) return code;
    if (tag === undefined) return sql`post_list_key(${a}, ${code})`;
    if (author === undefined) return sql`post_list_key(${t}, ${code})`;
    return sql`post_list_key(${a}, post_list_key(${t}, ${code}))`;
  };
  return sql`${keyOf(list, sql`author`, sql`tag`)} = ${keyOf(sql.lit(number), sql`${author}::text`, sql`${tag}::text`)}`;
}

/** The condition that a key stands for, because the key is a hash. */
function isTagged({ author, tag }: PostFilter): RawBuilder<unknown>[] {
  return [
    ...(author === undefined ? [] : [unseen(sql`author = ${author}`)]),
    ...(tag === undefined ? [] : [unseen(sql`tag = ${tag}`)]),
  ];
}

/** The condition that a shelf stands for, as of now. */
function isInState({ state }: PostFilter): RawBuilder<unknown>[] {
  if (state === 'scheduled') return [unseen(sql`publish_order > now()`)];
  return state === 'published' ? [unseen(sql`publish_order <= now()`)] : [];
}

/** A condition that nearly all rows of a range fulfil. Postgres must not search it in an index, or estimate that few rows remain. */
function unseen(condition: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`coalesce(${condition}, false)`;
}

function tableOf({ tag }: PostFilter): ListRange['table'] {
  return tag === undefined ? 'posts' : 'post_tags';
}

function deletedOf({ showDeleted }: PostFilter): readonly boolean[] {
  return showDeleted ? [false, true] : [false];
}

function statesOf({ state }: PostFilter): readonly Shelf['state'][] {
  if (state === undefined) return ['draft', 'waiting', 'published'];
  return [state === 'scheduled' ? 'waiting' : state];
}

interface Shelf {
  readonly deleted: boolean;
  readonly updated: boolean;
  readonly state: keyof typeof STATES;
}

const STATES = { draft: 0, waiting: 1, published: 2 } as const;
const SHELF = sql`post_shelf(deleted, publish_order, create_time, update_time, due_time)`;
