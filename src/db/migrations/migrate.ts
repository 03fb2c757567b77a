import { Kysely, PostgresDialect, sql } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import pg from 'pg';
import { PrimaryHost } from '#src/db/connection/primary-host.ts';
import { SessionClient } from '#src/db/connection/session-client.ts';
import * as posts from '#src/db/migrations/0001-posts.ts';
import * as postChanges from '#src/db/migrations/0002-post-changes.ts';
import * as postHistory from '#src/db/migrations/0003-post-history.ts';
import * as readablePosts from '#src/db/migrations/0004-readable-posts.ts';
import * as listShelves from '#src/db/migrations/0005-list-shelves.ts';
import * as postChangeMarks from '#src/db/migrations/0006-post-change-marks.ts';
import * as postLives from '#src/db/migrations/0007-post-lives.ts';
import * as listKeys from '#src/db/migrations/0008-list-keys.ts';
import { noteDuePosts } from '#src/db/migrations/due-posts.ts';
import { buildListIndexes, dropOldListIndexes } from '#src/db/migrations/list-indexes.ts';
import { LATEST_MIGRATION } from '#src/db/migrations/schema-version.ts';
import { validateConstraints } from '#src/db/migrations/validate-constraints.ts';
import type { Logger } from '#src/observability/logger.ts';

/**
 * Brings the database's schema up to date. Several processes may run it at once: one migrates, and the others wait.
 *
 * @param url of the database, with a role that may create tables. Of several hosts, the primary is found first.
 * @param log gets older rows that break a rule of a migration. Such rows do not make it fail.
 * @returns the names of the migrations that it ran; none if the schema was up to date.
 * @throws DatabaseUnavailableError if no primary is found among several hosts within 5 s. The first failure, which rolls back all migrations of
 *   this call.
 */
export async function migrateToLatest(url: string, log?: Pick<Logger, 'warn'>): Promise<string[]> {
  const primary = await findPrimary(url);
  // A migration that does not get its lock gives up, instead of blocking all later queries.
  const db = open(primary, { max: 1, lock_timeout: 5000 });
  try {
    const migrator = new Migrator({ db, provider: { getMigrations: async () => MIGRATIONS } });
    const { error, results = [] } = await migrator.migrateToLatest();
    if (error !== undefined) throw error;
    await validateConstraints(db, log);
    const ran = new Set(results.map(result => result.migrationName));
    // An older release may still serve during this deploy, but not during the next one.
    const isOldGone = ran.has('0001-posts') || !ran.has('0005-list-shelves');
    await buildIndexes(primary, isOldGone);
    // Posts that have come due since they were written, before the first list reads them.
    while ((await noteDuePosts(db, DUE_BATCH)) === DUE_BATCH);
    // A new table has no statistics. Until autovacuum makes them, plans can be bad.
    if (results.length > 0) await sql`analyze`.execute(db);
    return results.map(result => result.migrationName);
  } finally {
    await db.destroy();
  }
}

async function findPrimary(url: string): Promise<string> {
  await using host = new PrimaryHost(url);
  try {
    return (await host.known(AbortSignal.timeout(CONNECT_TIMEOUT_MS))).url;
  } catch {
    throw host.nowhere();
  }
}

/** It waits for other transactions without a limit, because nothing waits for it. A second connection holds its lock. */
async function buildIndexes(url: string, isOldGone: boolean): Promise<void> {
  const db = open(url, { max: 2, lock_timeout: 0 });
  try {
    await buildListIndexes(db);
    if (isOldGone) await dropOldListIndexes(db);
  } finally {
    await db.destroy();
  }
}

function open(url: string, options: { readonly max: number; readonly lock_timeout: number }): Kysely<never> {
  const pool = new pg.Pool({
    Client: SessionClient,
    connectionString: url,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: 'postservice migrate',
    ...options,
  });
  pool.on('error', () => {});
  return new Kysely<never>({ dialect: new PostgresDialect({ pool }) });
}

const CONNECT_TIMEOUT_MS = 5000;
const DUE_BATCH = 500;

/** All migrations in order. They only add to what older releases need. */
const MIGRATIONS: Record<string, Migration> = {
  '0001-posts': posts,
  '0002-post-changes': postChanges,
  '0003-post-history': postHistory,
  '0004-readable-posts': readablePosts,
  '0005-list-shelves': listShelves,
  '0006-post-change-marks': postChangeMarks,
  '0007-post-lives': postLives,
  [LATEST_MIGRATION]: listKeys,
};
