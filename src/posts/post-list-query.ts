import { type RawBuilder, sql } from 'kysely';
import { type PostRow, postColumnNames, postColumns } from '#src/posts/post-row.ts';
import type { PostQuery } from '#src/posts/post-store.ts';

/** A row of a page, with the number of rows that were found before the page was cut to its size in bytes. */
export interface PostPageRow extends PostRow {
  readonly found: string;
  /** Whether the page is whole; false: nobody has read its content. Only there where it was asked for. */
  readonly fits?: boolean;
}

/**
 * The query for one page. It asks for one post more than the page holds, which tells whether there is another page.
 *
 * Each list is a range of one index that begins at the cursor, so a page costs the same at any depth. With deleted posts
 * it is the merge of two such ranges, the live and the deleted, for which no further index is needed.
 */
export function postListQuery(query: PostQuery): RawBuilder<PostPageRow> {
  const withContent = query.maxContentBytes > 0;
  const direction = sql.raw(query.order.descending ? 'desc' : 'asc');
  const order = sql`order_time ${direction}, id ${direction}`;
  const live = postRange(query, false, withContent);
  const page = query.showDeleted
    ? sql`(${live}) union all (${postRange(query, true, withContent)}) order by ${order}`
    : live;
  const window = sql`limit ${query.limit + 1} offset ${query.skip}`;
  if (!withContent) {
    return sql`select *, count(*) over () as found from (${page} ${window}) page order by ${order}`;
  }
  if (query.isWhole) {
    return sql`
      select ${sql.join(postColumnNames.map(name => sql.ref(name)))}, found, fits, case when fits then content end as content
      from (
        select *, count(*) over () as found, sum(octet_length(content)) over () <= ${query.maxContentBytes} as fits
        from (${page} ${window}) page
      ) page
      order by ${order}`;
  }
  return sql`
    select * from (
      select *, count(*) over () as found, row_number() over page_order as position,
        sum(octet_length(content)) over (page_order rows unbounded preceding) as content_bytes
      from (${page} ${window}) page
      window page_order as (order by ${order})
    ) page
    where position = 1 or content_bytes <= ${query.maxContentBytes}
    order by ${order}`;
}

/** The live or the deleted posts of the list, from the cursor on. */
function postRange(query: PostQuery, deleted: boolean, withContent: boolean): RawBuilder<unknown> {
  const byTag = query.tag !== undefined;
  // By tag, order and place come from `post_tags`, whose indexes begin with the tag.
  const table = byTag ? 't' : 'p';
  const time = sql.ref(`${table}.${ORDER_COLUMNS[query.order.by]}`);
  const id = sql.ref(byTag ? 't.post_id' : 'p.id');
  const direction = sql.raw(query.order.descending ? 'desc' : 'asc');
  const comparison = sql.raw(query.order.descending ? '<' : '>');

  const conditions = [sql`${sql.ref(`${table}.deleted`)} = ${sql.lit(deleted)}`];
  if (byTag) conditions.push(sql`t.tag = ${query.tag}`);
  if (query.author !== undefined) conditions.push(sql`${sql.ref(`${table}.author`)} = ${query.author}`);
  const ofDrafts = query.state === 'draft' && query.order.by === 'publishTime';
  if (query.after !== undefined && ofDrafts) {
    // All of them stand at infinity, so only the ids tell them apart.
    conditions.push(sql`${id} ${comparison} ${query.after.id}::uuid`);
  } else if (query.after !== undefined) {
    const afterTime = query.after.time?.toISOString() ?? 'infinity';
    conditions.push(sql`(${time}, ${id}) ${comparison} (${afterTime}::timestamptz, ${query.after.id}::uuid)`);
  }
  conditions.push(...stateConditions(query, sql.ref(`${table}.publish_order`)));

  // Each range of a merge has to give as many rows as the whole page may need.
  const limit = query.showDeleted ? sql`limit ${query.skip + query.limit + 1}` : sql``;
  return sql`
    select ${postColumns('p', withContent)}, ${time} as order_time
    from ${byTag ? sql`post_tags t join posts p on p.id = t.post_id` : sql`posts p`}
    where ${sql.join(conditions, sql` and `)}
    order by ${time} ${direction}, ${id} ${direction} ${limit}`;
}

/**
 * The state is a filter on `publish_time`, and beside it bounds of `publish_order`, which indexes have. In the order of
 * the publish time, the bound that lies on the cursor's side is left out: it is the weaker one, and an index scan would
 * begin there and not at the cursor.
 */
function stateConditions({ state, order, after }: PostQuery, publishOrder: RawBuilder<unknown>): RawBuilder<unknown>[] {
  const continues = order.by === 'publishTime' && after !== undefined;
  switch (state) {
    case 'draft':
      return [sql`p.publish_time is null`, sql`${publishOrder} = 'infinity'`];
    case 'scheduled': {
      const lower = continues && !order.descending ? [] : [sql`${publishOrder} > now()`];
      const upper = continues && order.descending ? [] : [sql`${publishOrder} < 'infinity'`];
      return [sql`p.publish_time > now()`, ...lower, ...upper];
    }
    case 'published': {
      const upper = continues && order.descending ? [] : [sql`${publishOrder} <= now()`];
      return [sql`p.publish_time <= now()`, ...upper];
    }
    default:
      return [];
  }
}

const ORDER_COLUMNS = { createTime: 'create_time', updateTime: 'update_time', publishTime: 'publish_order' } as const;
