import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDatabase, type Database, runText } from '#src/db/database.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import type { RunStatement } from '#src/posts/feed/feed-head.ts';
import type { ChangeFilter, PostChange } from '#src/posts/feed/post-change.ts';
import { type PostChangePosition, placeBehind } from '#src/posts/feed/post-change-position.ts';
import {
  BATCH_LIMITS,
  CHANGES_STATEMENT,
  changesParameters,
  readPosition,
  readPostChanges,
} from '#src/posts/feed/post-change-query.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';

/** In transactions of a hundred; each tenth is a mark's distance. */
const CHANGES = 40_000;
/** Those that it looks at, some pages of indexes, and what each of those that it gives has to be looked up by. */
const MOST_BUFFERS = BATCH_LIMITS.scanned / 10 + 4 * BATCH_LIMITS.found + 100;
const NOBODY: ChangeFilter = { author: 'Nobody', tag: undefined };

let database: TestDatabase;
let client: pg.Client;
let db: Database;
const run: RunStatement = (text, values) => runText(db, text, values);
/** Before the first change, and after each eighth of them. */
const places: PostChangePosition[] = [];

beforeAll(async () => {
  database = await createTestDatabase();
  client = new pg.Client(database.url);
  await client.connect();
  db = createDatabase(new ConnectionPool(database.url, aDatabaseConfig()));
  await client.query('select post_changes_mark(0)');
  places.push(await readPosition(run));
  for (let n = 0; n < CHANGES; n += 100) {
    await addChanges(client, 100);
    if (n % 1000 === 0) await client.query('select post_changes_mark(1000)');
    if ((n + 100) % (CHANGES / 8) === 0) places.push(await readPosition(run));
  }
  await client.query('vacuum analyze post_changes');
});
afterAll(async () => {
  await client?.end();
  await db?.destroy();
  await database?.[Symbol.asyncDispose]();
});

describe('A batch of the change feed', () => {
  it.each([
    ['all', undefined],
    ['nothing', NOBODY],
  ])('costs its rows, wherever the place is, with a filter that lets through %s', async (_, filter) => {
    const costs: number[] = [];
    for (const place of places) costs.push(await buffersOf(place, filter));
    // In the middle of what was seen at once, too.
    const [first] = places;
    const to = places.at(-1)?.from;
    for (const afterId of [1n, 10_000n, BigInt(CHANGES - 1)])
      costs.push(await buffersOf({ ...(first as PostChangePosition), to, afterId }, filter));
    expect(Math.max(...costs)).toBeLessThan(MOST_BUFFERS);
  });

  it('has no more than it may, and with those behind it all of them once', async () => {
    const read = await readAll(places[0] as PostChangePosition);
    expect(read.most).toBeLessThanOrEqual(BATCH_LIMITS.found);
    expect(read.changes).toHaveLength(CHANGES);
    expect(new Set(read.changes.map(({ id }) => id)).size).toBe(CHANGES);
  });

  it('moves the place on where the filter lets nothing through', async () => {
    let position = places[0] as PostChangePosition;
    const batches: number[] = [];
    for (let complete = false; !complete; ) {
      const batch = await readPostChanges(run, position, [NOBODY]);
      batches.push(batch.changes.length);
      expect(batch.complete || batch.endId > (position.afterId ?? 0n)).toBe(true);
      position = placeBehind(batch, position);
      complete = batch.complete;
    }
    expect(batches.length).toBeLessThanOrEqual(CHANGES / BATCH_LIMITS.scanned + 2);
    expect((await readPostChanges(run, position)).changes).toEqual([]);
  });

  it('gives the same without any mark', async () => {
    await client.query('begin; delete from post_changes_marks');
    const without: RunStatement = async (text, values) => (await client.query(text, [...values])).rows;
    const place = places[4] as PostChangePosition;
    const batch = await readAll(place, without);
    await client.query('rollback');
    expect(batch.changes.map(({ id }) => id)).toEqual((await readAll(place)).changes.map(({ id }) => id));
  });

  it('costs its rows where the place is beside a transaction that runs for long', async () => {
    const running = new pg.Client(database.url);
    await running.connect();
    await running.query('begin');
    await addChanges(running, 10);
    await addChanges(client, 100);
    const place = await readPosition(run);
    await addChanges(client, 3000);
    const before = await buffersOf(place, NOBODY);
    await running.query('commit');
    const after = await buffersOf(place, NOBODY);
    expect(Math.max(before, after)).toBeLessThan(MOST_BUFFERS);
    expect((await readAll(place)).changes).toHaveLength(3010);
    await running.end();
  });
});

async function readAll(start: PostChangePosition, by: RunStatement = run) {
  const changes: PostChange[] = [];
  let most = 0;
  let position = start;
  for (let complete = false; !complete; ) {
    const batch = await readPostChanges(by, position);
    changes.push(...batch.changes);
    most = Math.max(most, batch.changes.length);
    position = placeBehind(batch, position);
    complete = batch.complete;
  }
  return { changes, most };
}

/** Pages that the statement has looked at. */
async function buffersOf(position: PostChangePosition, filter: ChangeFilter | undefined): Promise<number> {
  const explain = `explain (analyze, buffers, timing off, format json) ${CHANGES_STATEMENT}`;
  const { rows } = await client.query(explain, changesParameters(position, filter && [filter]));
  const plan = rows[0]['QUERY PLAN'][0].Plan;
  return plan['Shared Hit Blocks'] + plan['Shared Read Blocks'];
}

async function addChanges(by: pg.Client, count: number): Promise<void> {
  await by.query(
    `insert into post_changes (kind, post_id, slug, title, author, tags, create_time, update_time, revision)
     select 'created', gen_random_uuid(), 'change-' || i, 'A change', 'Ada', '{one,two}', now(), now(), 1
     from generate_series(1, $1::int) i`,
    [count],
  );
}
