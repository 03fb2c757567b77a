import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createDatabase } from '#src/db/database.ts';
import { noteDuePosts } from '#src/db/migrations/due-posts.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import type { PostCursor, PostFilter, PostOrder } from '#src/posts/post-store.ts';
import { PostgresPostStore } from '#src/posts/store/postgres-post-store.ts';
import { createTestDatabase } from '#test/support/postgres.ts';
import { query } from '#test/support/query.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';

const HOUR_MS = 3_600_000;
const NOW = Date.now();

interface Row {
  readonly id: string;
  readonly author: string;
  readonly tags: readonly string[];
  readonly createTime: number;
  readonly updateTime: number;
  readonly publishTime: number | undefined;
  readonly deleted: boolean;
}

// Few different values, so that many are equal. Nothing is so near to now that the test could pass it.
const hours = (...values: number[]) => fc.constantFrom(...values.map(value => NOW + value * HOUR_MS));
const aRow: fc.Arbitrary<Row> = fc
  .record({
    id: fc.uuid(),
    author: fc.constantFrom('a', 'b'),
    tags: fc.subarray(['x', 'y']),
    createTime: hours(-90, -80, -70, 1),
    updateTime: fc.option(hours(-60, -50, 2, 4)),
    publishTime: fc.option(hours(-90, -70, -65, -55, -1, 1, 3, 5), { nil: undefined }),
    deleted: fc.boolean(),
  })
  .map(row => ({ ...row, updateTime: row.updateTime ?? row.createTime }));
const aList = fc.record({
  author: fc.constantFrom(undefined, 'a'),
  tag: fc.constantFrom(undefined, 'x'),
  state: fc.constantFrom(undefined, 'draft' as const, 'scheduled' as const, 'published' as const),
  showDeleted: fc.boolean(),
  by: fc.constantFrom('createTime' as const, 'updateTime' as const, 'publishTime' as const),
  descending: fc.boolean(),
  limit: fc.constantFrom(1, 3, 10),
  skip: fc.constantFrom(0, 0, 2),
});

describe.each([
  ['as Postgres plans them', {}],
  ['along indexes', { enable_seqscan: 'off', enable_bitmapscan: 'off' }],
  ['by sorting', { enable_indexscan: 'off', enable_indexonlyscan: 'off' }],
])('Lists, %s', (_name, planner) => {
  it('have the posts that a filter of all of them leaves, in their order, whatever came due meanwhile', async () => {
    await using database = await createTestDatabase();
    for (const [name, value] of Object.entries(planner)) {
      await query(database.url, `alter database ${new URL(database.url).pathname.slice(1)} set ${name} = ${value}`);
    }
    const db = createDatabase(new ConnectionPool(database.url, aDatabaseConfig()));
    const store = new PostgresPostStore(db);
    try {
      await fc.assert(
        fc.asyncProperty(
          fc.uniqueArray(aRow, { selector: row => row.id, minLength: 5, maxLength: 40 }),
          fc.array(aList, { minLength: 20, maxLength: 20 }),
          fc.nat(20),
          async (rows, lists, noted) => {
            await query(database.url, `truncate posts, post_changes; ${rows.map(insertOf).join(';')}`);
            await noteDuePosts(db, noted);
            for (const { by, descending, limit, skip, ...filter } of lists) {
              const order = { by, descending };
              const listed = await pagesOf(store, filter, order, limit, skip);
              expect(listed).toEqual(expectedOf(rows, filter, order).slice(skip));
            }
          },
        ),
        { numRuns: 15 },
      );
    } finally {
      await db.destroy();
    }
  });
});

/** Page after page; `skip` counts once. */
async function pagesOf(store: PostgresPostStore, filter: PostFilter, order: PostOrder, limit: number, skip: number) {
  const ids: string[] = [];
  let after: PostCursor | undefined;
  do {
    const page = await store.list({
      ...filter,
      ...{ order, after, limit, skip: after === undefined ? skip : 0, maxContentBytes: ids.length % 2 },
    });
    ids.push(...page.posts.map(post => post.id));
    after = page.next;
  } while (after !== undefined);
  return ids;
}

function expectedOf(rows: readonly Row[], filter: PostFilter, { by, descending }: PostOrder): string[] {
  const timeOf = (row: Row) => row[by] ?? Number.POSITIVE_INFINITY;
  const sorted = rows
    .filter(row => filter.author === undefined || row.author === filter.author)
    .filter(row => filter.tag === undefined || row.tags.includes(filter.tag))
    .filter(row => filter.showDeleted || !row.deleted)
    .filter(row => filter.state === undefined || filter.state === stateOf(row))
    .toSorted((a, b) => (timeOf(a) === timeOf(b) ? (a.id < b.id ? -1 : 1) : timeOf(a) < timeOf(b) ? -1 : 1))
    .map(row => row.id);
  return descending ? sorted.reverse() : sorted;
}

function stateOf({ publishTime }: Row): PostFilter['state'] {
  if (publishTime === undefined) return 'draft';
  return publishTime > NOW ? 'scheduled' : 'published';
}

function insertOf(row: Row): string {
  const time = (ms: number | undefined) => (ms === undefined ? 'null' : `'${new Date(ms).toISOString()}'`);
  const tags = `array[${row.tags.map(tag => `'${tag}'`).join()}]::text[]`;
  return `insert into posts (id, slug, title, content, author, tags, create_time, update_time, publish_time, delete_time) values
    ('${row.id}', '${row.id}', 'A title', '', '${row.author}', ${tags}, ${time(row.createTime)}, ${time(row.updateTime)},
    ${time(row.publishTime)}, ${row.deleted ? time(NOW) : 'null'})`;
}
