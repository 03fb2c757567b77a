import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDatabase, type Database } from '#src/db/database.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import type { PostFilter, PostOrder } from '#src/posts/post-store.ts';
import { postListQuery } from '#src/posts/store/post-list-query.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { query } from '#test/support/query.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';

const POSTS = 12_000;
const PAGE = 20;
/** A walk along all posts of a state, or of a tag, reads several thousand. */
const MOST_BUFFERS = 400;

let database: TestDatabase;
let db: Database;
let client: pg.Client;

beforeAll(async () => {
  database = await createTestDatabase();
  // Of so few posts, Postgres would rather read and sort all. With a million it does not: npm run bench list-plans.
  const name = new URL(database.url).pathname.slice(1);
  for (const way of ['seqscan', 'bitmapscan', 'sort']) {
    await query(database.url, `alter database ${name} set enable_${way} = off`);
  }
  db = createDatabase(new ConnectionPool(database.url, aDatabaseConfig()));
  client = new pg.Client(database.url);
  await client.connect();
});
afterAll(async () => {
  await client?.end();
  await db?.destroy();
  await database?.[Symbol.asyncDispose]();
});

const scopes = [{}, { author: 'prolific' }, { tag: 'all' }, { author: 'prolific', tag: 'all' }];
const states = [undefined, 'draft', 'scheduled', 'published'] as const;
const orders = (['createTime', 'updateTime', 'publishTime'] as const).flatMap(by => [
  { by, descending: true },
  { by, descending: false },
]);
const lists = scopes.flatMap(scope =>
  states.flatMap(state =>
    [false, true].flatMap(showDeleted =>
      orders.map(order => ({
        order,
        filter: { author: undefined, tag: undefined, ...scope, state, showDeleted } as PostFilter,
      })),
    ),
  ),
);

describe.each([
  ['drafts are few', `case when rare then 'draft' when i % 2 = 0 then 'scheduled' else 'published' end`],
  ['scheduled posts are few', `case when rare then 'scheduled' when i % 2 = 0 then 'draft' else 'published' end`],
  [
    'published posts are few',
    `case when rare then 'published' when i < ${POSTS / 2} then 'draft' else 'scheduled' end`,
  ],
])('Where %s, in the middle of all', (_name, state) => {
  beforeAll(() => fill(state));

  it(`any page of any of ${lists.length} lists reads at most ${MOST_BUFFERS} buffers`, async () => {
    const expensive: string[] = [];
    for (const { filter, order } of lists) {
      // The middle of the time, and its end.
      for (const days of [undefined, POSTS / 2, order.descending ? 1 : POSTS - 1]) {
        const buffers = await buffersOf(filter, order, days);
        if (buffers > MOST_BUFFERS) expensive.push(`${JSON.stringify({ ...filter, ...order, days })}: ${buffers}`);
      }
    }
    expect(expensive).toEqual([]);
  });
});

async function buffersOf(filter: PostFilter, order: PostOrder, days: number | undefined): Promise<number> {
  // In the order of the publish time, all drafts stand at the same one.
  const time = filter.state === 'draft' && order.by === 'publishTime' ? undefined : new Date(dayOf(days ?? 0));
  const after = days === undefined ? undefined : { time, id: ZERO };
  const page = { ...filter, order, after, skip: 0, limit: PAGE, maxContentBytes: 0 };
  const { sql, parameters } = postListQuery(page).compile(db);
  const { rows } = await client.query(`explain (analyze, buffers, format json) ${sql}`, [...parameters]);
  const plan = rows[0]['QUERY PLAN'][0].Plan;
  return plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
}

/** A post a day. One author has half of them, and one tag is on all. A fifth is deleted, and a fifth was updated. */
async function fill(state: string): Promise<void> {
  await query(database.url, 'truncate posts, post_changes');
  await query(
    database.url,
    `insert into posts (id, slug, title, content, author, tags, create_time, update_time, publish_time, delete_time, due_time)
    select gen_random_uuid(), 'post-' || i, 'A title', repeat('Some words. ', 50),
      case when i % 4 < 2 then 'prolific' else 'author-' || i % 100 end, array['all', 'tag-' || i % 100], created,
      case when i % 5 < 2 then created + interval '1 day' else created end,
      case state when 'published' then created when 'scheduled' then now() + i * interval '1 day' end,
      case when i % 5 = 0 then created + interval '1 day' end, case state when 'published' then created end
    from (select i, '${new Date(dayOf(0)).toISOString()}'::timestamptz + i * interval '1 day' as created, ${state} as state
      from (select i, abs(i - ${POSTS / 2}) < 15 as rare from generate_series(1, ${POSTS}) i) i) i`,
  );
  await query(database.url, 'vacuum (analyze) posts, post_tags');
}

function dayOf(day: number): number {
  return Date.now() + (day - POSTS - 2) * 86_400_000;
}

const ZERO = '00000000-0000-0000-0000-000000000000';
