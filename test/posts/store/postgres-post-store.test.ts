import { afterAll, beforeAll } from 'vitest';
import { parseConfig } from '#src/config/config.ts';
import { createDatabase, type Database } from '#src/db/database.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { PostgresPostStore } from '#src/posts/store/postgres-post-store.ts';
import { describePostStore } from '#test/posts/store/post-store-contract.ts';
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
describePostStore('PostgresPostStore, over lanes', () => new PostgresPostStore(db, { reads: open.lanes }));
