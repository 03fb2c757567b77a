import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import { DatabaseUnavailableError } from '#src/db/errors.ts';
import type { ConnectionPool } from '#src/db/pool/pool.ts';
import type { Schema } from '#src/db/schema.ts';

/** The newest migration, whose schema this code needs. */
export const LATEST_MIGRATION = '0008-list-keys';

/**
 * Whether the database has the schema that this code needs, or a newer one (migrations only expand). It does not load the migrations, because
 * every start runs it.
 */
export async function isSchemaUpToDate(db: Kysely<Schema>): Promise<boolean> {
  const { rows } = await sql<{ present: boolean }>`
    select to_regclass('kysely_migration') is not null as present`.execute(db);
  if (rows[0]?.present !== true) return false;
  const latest = await sql`select 1 from kysely_migration where name = ${LATEST_MIGRATION}`.execute(db);
  return latest.rows.length > 0;
}

/** Whether the database answers, within a second. */
export async function pingDatabase(pool: Pick<ConnectionPool, 'acquire'>): Promise<boolean> {
  const signal = AbortSignal.timeout(1000);
  try {
    const connection = await pool.acquire(signal);
    try {
      return (await connection.query('select 1', [], signal)) !== undefined;
    } finally {
      connection.release();
    }
  } catch {
    return false;
  }
}

/**
 * The same, for a start: it waits for a database that cannot be reached yet, for example because it starts at the same time or is busy.
 *
 * @throws DatabaseUnavailableError if it cannot be reached for `waitMs`.
 */
export async function isSchemaUpToDateWithin(db: Kysely<Schema>, waitMs: number): Promise<boolean> {
  const giveUpAt = performance.now() + waitMs;
  for (;;) {
    try {
      return await isSchemaUpToDate(db);
    } catch (error) {
      if (!(error instanceof DatabaseUnavailableError) || performance.now() > giveUpAt) throw error;
    }
    await sleep(RETRY_MS);
  }
}

const RETRY_MS = 100;
