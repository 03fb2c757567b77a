import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseConfig } from '#src/config.ts';
import { createDatabase, type Database } from '#src/db/database.ts';
import { ConnectionPool } from '#src/db/pool.ts';
import { PostgresPostStore } from '#src/posts/postgres-post-store.ts';
import { describePostStore } from '#test/posts/post-store-contract.ts';
import { aNewPost } from '#test/support/post-builder.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { openLanes, type TestLanes } from '#test/support/test-lanes.ts';

let database: TestDatabase;
let db: Database;
let open: TestLanes;

beforeAll(async () => {
  database = await createTestDatabase();
  const config = parseConfig({
    DATABASE_URL: database.url,
    PAGE_TOKEN_SECRET: 'x'.repeat(32),
    DATABASE_ACQUIRE_TIMEOUT: '30s',
  });
  db = createDatabase(new ConnectionPool(database.url, config.database));
  open = openLanes(database.url);
  await open.untilUp(2);
});

afterAll(async () => {
  await open?.[Symbol.asyncDispose]();
  await db?.destroy();
  await database?.[Symbol.asyncDispose]();
});

describePostStore('PostgresPostStore, over a pool', () => new PostgresPostStore(db));
describePostStore('PostgresPostStore, over lanes', () => new PostgresPostStore(db, undefined, open.lanes));
// As where many read at the same time: reads by id of one turn are one statement.
describePostStore('PostgresPostStore, over busy lanes', () => {
  const query = open.lanes.query.bind(open.lanes);
  return new PostgresPostStore(db, undefined, { isBusy: true, query });
});

describe('PostgresPostStore, with many readers at the same time', () => {
  it('gives each the post that it asks for, in fewer statements than there are readers', async () => {
    const posts = Array.from({ length: 200 }, () => aNewPost());
    let statements = 0;
    const store = new PostgresPostStore(db, undefined, {
      get isBusy() {
        return open.lanes.isBusy;
      },
      query: (...read) => {
        statements++;
        return open.lanes.query(...read);
      },
    });
    await store.create(posts, { validateOnly: false });
    const found = await Promise.all(posts.map(({ id }) => store.getById(id)));
    expect(found.map(post => post?.id)).toEqual(posts.map(({ id }) => id));
    expect(statements).toBeLessThan(20);
  });
});
