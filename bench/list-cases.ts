import type pg from 'pg';
import type { PostFilter, PostOrder, PostQuery } from '#src/posts/post-store.ts';

/** A filter whose lists are measured. */
export interface FilterCase {
  readonly name: string;
  readonly filter: PostFilter;
  /** How many posts pass it. */
  readonly posts: number;
}

/** Posts a page: the service's default. */
export const PAGE_SIZE = 20;

/** Every order that a list can have. */
export const ORDERS: readonly PostOrder[] = (['createTime', 'updateTime', 'publishTime'] as const).flatMap(by => [
  { by, descending: true },
  { by, descending: false },
]);

/** The first page of a list in the view BASIC; `changes` lead to others. */
export function pageQuery(filter: PostFilter, order: PostOrder, changes: Partial<PostQuery> = {}): PostQuery {
  return { ...filter, order, after: undefined, skip: 0, limit: PAGE_SIZE, maxContentBytes: 0, ...changes };
}

/** As a request has it, such as `create_time desc`. */
export function formatOrder({ by, descending }: PostOrder): string {
  return `${by.replace('Time', '_time')}${descending ? ' desc' : ''}`;
}

/** The filters, with the most prolific author, and the most popular and a rare tag, of what the database has. */
export async function listFilterCases(client: pg.Client): Promise<FilterCase[]> {
  const text = async (sql: string) => (await client.query<{ value: string }>(sql)).rows[0]?.value ?? '';
  const author = await text(`${BY_AUTHOR} desc limit 1`);
  const popular = await text(`${BY_TAG} desc limit 1`);
  const rare = await text(`${BY_TAG}, 1 limit 1`);
  const filters: Readonly<Record<string, Partial<PostFilter>>> = {
    all: {},
    'deleted ones too': { showDeleted: true },
    'most prolific author': { author },
    'popular tag': { tag: popular },
    'rare tag': { tag: rare },
    'author and tag': { author, tag: popular },
    published: { state: 'published' },
    scheduled: { state: 'scheduled' },
    drafts: { state: 'draft' },
    'drafts of an author': { author, state: 'draft' },
  };
  const cases: FilterCase[] = [];
  for (const [name, changes] of Object.entries(filters)) {
    const filter = { author: undefined, tag: undefined, state: undefined, showDeleted: false, ...changes };
    cases.push({ name, filter, posts: await countPosts(client, filter) });
  }
  return cases;
}

const BY_AUTHOR = 'select author as value from posts where not deleted group by 1 order by count(*)';
const BY_TAG = 'select tag as value from post_tags where not deleted group by 1 order by count(*)';

async function countPosts(client: pg.Client, { author, tag, state, showDeleted }: PostFilter): Promise<number> {
  const { rows } = await client.query<{ count: string }>(
    `select count(*) from posts where (not deleted or $1) and ($2::text is null or author = $2)
     and ($3::text is null or tags @> array[$3::text]) and ($4::text is null or $4 =
       case when publish_time is null then 'draft' when publish_time > now() then 'scheduled' else 'published' end)`,
    [showDeleted, author, tag, state],
  );
  return Number(rows[0]?.count);
}
