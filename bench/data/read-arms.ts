import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import { parseConfig } from '#src/config/config.ts';
import { createDatabase } from '#src/db/database.ts';
import { DatabasePolicy } from '#src/db/database-policy.ts';
import { openReadLanes } from '#src/db/open-database.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import type { Schema } from '#src/db/schema.ts';
import type { Logger } from '#src/observability/logger.ts';
import { POST_STATEMENTS } from '#src/posts/store/post-read-statements.ts';
import { PostgresPostStore } from '#src/posts/store/postgres-post-store.ts';

/** A way to read one post by its id. */
export interface ReadArm {
  readonly name: string;
  readonly read: (id: string) => Promise<unknown>;
}

/** Ours, and the libraries alone. The first arm is there twice, to show the noise (A/A). */
export async function openReadArms(url: string, log: Logger, parts: AsyncDisposableStack): Promise<ReadArm[]> {
  const { database: config } = parseConfig({ DATABASE_URL: url, PAGE_TOKEN_SECRET: 'x'.repeat(32) });
  const pool = new ConnectionPool(url, { ...config, acquireTimeoutMs: 10_000 });
  const db = createDatabase(pool);
  parts.defer(() => db.destroy());
  const lanes = parts.use(openReadLanes(url, config, pool, log));
  const overLanes = new PostgresPostStore(db, { reads: lanes });
  const observer = { breakerChanged() {}, callShed() {}, watchAdmission() {} };
  const guarded = new DatabasePolicy('primary', config, pool, observer).guard(lanes);
  const overGuarded = new PostgresPostStore(db, { reads: guarded });
  const overPool = new PostgresPostStore(db);
  const plainPool = new pg.Pool({ connectionString: url, max: config.poolMax });
  const kysely = new Kysely<Schema>({ dialect: new PostgresDialect({ pool: plainPool }) });
  parts.defer(() => kysely.destroy());
  const { name, text } = POST_STATEMENTS.byId;
  const arms: ReadArm[] = [
    { name: 'our store, over 2 lanes', read: id => overLanes.getById(id) },
    { name: 'our store, over 2 lanes, again', read: id => overLanes.getById(id) },
    { name: 'the same, as the policy lets it', read: id => overGuarded.getById(id) },
    { name: 'our store, over the pool of 10', read: id => overPool.getById(id) },
    { name: "pg's Pool of 10, prepared", read: id => plainPool.query({ name, text, values: [id] }) },
    {
      name: 'plain Kysely, Pool of 10',
      read: id => kysely.selectFrom('posts').selectAll().where('id', '=', id).executeTakeFirst(),
    },
  ];
  // Opens all connections, and prepares all statements.
  const { rows } = await plainPool.query<{ id: string }>('select id from posts limit 1');
  const id = rows[0]?.id ?? '';
  while (lanes.state.up < config.lanes) await new Promise(resolve => setTimeout(resolve, 10));
  for (const { read } of arms)
    for (let n = 0; n < 20; n++) await Promise.all(Array.from({ length: 20 }, () => read(id)));
  return arms;
}
