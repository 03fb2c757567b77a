import { type RawBuilder, sql } from 'kysely';
import type { PostCursor, PostQuery } from '#src/posts/post-store.ts';
import { type ListRange, listRanges } from '#src/posts/store/post-list-ranges.ts';
import { type PostRow, postColumnNames, postColumns } from '#src/posts/store/post-row.ts';

/** A row of a page, with the number of rows before the page was cut to its size in bytes. */
export interface PostPageRow extends PostRow {
  readonly found: string;
  /** Whether the page is whole. False: its content was not read. Only set if the query asks for it. */
  readonly fits?: boolean;
}

/**
 * The query for one page. It reads one post more than the page holds, to know whether there is another page.
 *
 * Each list is the merge of a few ranges, each of one index from the cursor on, so a page costs the same at any depth.
 */
export function postListQuery(query: PostQuery): RawBuilder<PostPageRow> {
  const withContent = query.maxContentBytes > 0;
  const direction = sql.raw(query.order.descending ? 'desc' : 'asc');
  const order = sql`order_time ${direction}, id ${direction}`;
  const ranges = listRanges(query).map(range => sql`(${rangeQuery(range, query, withContent)})`);
  const merged = sql`
    select * from (${sql.join(ranges, sql` union all `)}) merged order by ${order} limit ${query.limit + 1} offset ${query.skip}`;
  // By tag, the ranges have only the positions of the posts.
  const page =
    query.tag === undefined
      ? merged
      : sql`select ${postColumns('p', withContent)}, m.order_time from (${merged}) m join posts p on p.id = m.id`;
  if (!withContent) {
    return sql`select *, count(*) over () as found from (${page}) page order by ${order}`;
  }
  if (query.isWhole) {
    return sql`
      select ${sql.join(postColumnNames.map(name => sql.ref(name)))}, found, fits, case when fits then content end as content
      from (
        select *, count(*) over () as found, sum(octet_length(content)) over () <= ${query.maxContentBytes} as fits
        from (${page}) page
      ) page
      order by ${order}`;
  }
  return sql`
    select * from (
      select *, count(*) over () as found, row_number() over page_order as position,
        sum(octet_length(content)) over (page_order rows unbounded preceding) as content_bytes
      from (${page}) page
      window page_order as (order by ${order})
    ) page
    where position = 1 or content_bytes <= ${query.maxContentBytes}
    order by ${order}`;
}

/** The posts of one range, from the cursor on. Each range must give as many as the whole page may need. */
function rangeQuery(range: ListRange, query: PostQuery, withContent: boolean): RawBuilder<unknown> {
  const { order, after } = query;
  const time = sql.ref(range.time);
  const id = sql.ref(range.table === 'post_tags' ? 'post_id' : 'id');
  const direction = sql.raw(order.descending ? 'desc' : 'asc');
  const comparison = sql.raw(order.descending ? '<' : '>');
  const conditions = [...range.conditions];
  if (after !== undefined) conditions.push(sql`(${time}, ${id}) ${comparison} ${placeOf(query, after)}`);
  const columns = query.tag === undefined ? postColumns('posts', withContent) : sql`${id} as id`;
  const rows = sql`from ${sql.ref(range.table)} where ${sql.join(conditions, sql` and `)}`;
  // They are few, so all are read and sorted. Behind the fence, Postgres does not search them along another index.
  const source = range.isSmall ? sql`from (select * ${rows} offset 0) ${sql.ref(range.table)}` : rows;
  return sql`
    select ${columns}, ${time} as order_time ${source}
    order by ${time} ${direction}, ${id} ${direction} limit ${query.skip + query.limit + 1}`;
}

/** Skips scheduled posts that have come due since the cursor was given out. */
function placeOf({ state, order }: PostQuery, after: PostCursor): RawBuilder<unknown> {
  const time = sql`${after.time?.toISOString() ?? 'infinity'}::timestamptz`;
  const id = sql`${after.id}::uuid`;
  if (state !== 'scheduled' || order.by !== 'publishTime' || order.descending) return sql`(${time}, ${id})`;
  return sql`(greatest(${time}, now()), case when ${time} > now() then ${id} else ${LAST_ID}::uuid end)`;
}

const LAST_ID = 'ffffffff-ffff-ffff-ffff-ffffffffffff';
