import { type RawBuilder, sql } from 'kysely';
import { type PostRow, postColumns } from '#src/posts/post-row.ts';
import type { PostQuery } from '#src/posts/post-store.ts';

/** A row of a page, with the number of rows that were found before the page was cut to its size in bytes. */
export interface PostPageRow extends PostRow {
  readonly found: string;
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
  if (query.author !== undefined) conditions.push(sql`p.author = ${query.author}`);
  if (query.after !== undefined) {
    const afterTime = query.after.time?.toISOString() ?? 'infinity';
    conditions.push(sql`(${time}, ${id}) ${comparison} (${afterTime}::timestamptz, ${query.after.id}::uuid)`);
  }
  const publishOrder = sql.ref(`${table}.publish_order`);
  if (query.state === 'draft') conditions.push(sql`${publishOrder} = 'infinity' and p.publish_time is null`);
  if (query.state === 'scheduled') conditions.push(sql`${publishOrder} > now() and ${publishOrder} < 'infinity'`);
  if (query.state === 'published') conditions.push(sql`${publishOrder} <= now()`);

  // Each range of a merge has to give as many rows as the whole page may need.
  const limit = query.showDeleted ? sql`limit ${query.skip + query.limit + 1}` : sql``;
  return sql`
    select ${postColumns('p', withContent)}, ${time} as order_time
    from ${byTag ? sql`post_tags t join posts p on p.id = t.post_id` : sql`posts p`}
    where ${sql.join(conditions, sql` and `)}
    order by ${time} ${direction}, ${id} ${direction} ${limit}`;
}

const ORDER_COLUMNS = { createTime: 'create_time', updateTime: 'update_time', publishTime: 'publish_order' } as const;
