import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import { createDatabase } from '#src/db/database.ts';
import { migrateToLatest } from '#src/db/migrations/migrate.ts';
import { isSchemaUpToDate } from '#src/db/migrations/schema-version.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { createTestDatabase } from '#test/support/postgres.ts';
import { query } from '#test/support/query.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';

const ALL = [
  '0001-posts',
  '0002-post-changes',
  '0003-post-history',
  '0004-readable-posts',
  '0005-list-shelves',
  '0006-post-change-marks',
  '0007-post-lives',
  '0008-list-keys',
];

describe('migrateToLatest', () => {
  it('brings an empty database up to date, and leaves an up-to-date one alone', async () => {
    await using database = await createTestDatabase({ migrated: false });
    const db = createDatabase(new ConnectionPool(database.url, aDatabaseConfig()));
    expect(await isSchemaUpToDate(db)).toBe(false);
    expect(await migrateToLatest(database.url)).toEqual(ALL);
    expect(await isSchemaUpToDate(db)).toBe(true);
    expect(await migrateToLatest(database.url)).toEqual([]);
    await db.destroy();
  });

  it('lets one of several processes migrate, and the others wait for it', async () => {
    await using database = await createTestDatabase({ migrated: false });
    const runs = await Promise.all([1, 2, 3].map(() => migrateToLatest(database.url)));
    expect(runs.flat()).toEqual(ALL);
  });

  it('keeps nothing of a migration that fails', async () => {
    await using database = await createTestDatabase({ migrated: false });
    const db = createDatabase(new ConnectionPool(database.url, aDatabaseConfig()));
    await sql`create table post_tags ()`.execute(db);
    await expect(migrateToLatest(database.url)).rejects.toThrow(/post_tags/);
    const { rows } = await sql`select to_regclass('posts') as posts`.execute(db);
    expect(rows).toEqual([{ posts: null }]);
    await db.destroy();
  });

  it('builds the indexes of lists that are missing or unfinished, and drops those of older releases', async () => {
    await using database = await createTestDatabase();
    const names = async () => {
      const rows = await query(
        database.url,
        `select indexrelid::regclass::text as name from pg_index where indisvalid
        and indrelid in ('posts'::regclass, 'post_tags'::regclass) order by name`,
      );
      return rows.map(row => (row as { name: string }).name);
    };
    const before = await names();
    await query(database.url, 'drop index posts_waiting');
    await query(
      database.url,
      "update pg_index set indisvalid = false where indexrelid = 'post_tags_shelf_create_time'::regclass",
    );
    await query(database.url, 'create index posts_update_time on posts (deleted, update_time, id)');
    expect(await migrateToLatest(database.url)).toEqual([]);
    expect(await names()).toEqual(before);
    expect(before).toContain('posts_waiting');
  });

  it('gives every list a key, whatever the number of its tag is', async () => {
    await using database = await createTestDatabase();
    const [row] = await query(
      database.url,
      `select count(post_list_key('Ada', n))::int as keys from unnest(array[
        9223372036854775807, 9223372036854775807 - 140737488355328, 0, -1, -9223372036854775807 - 1]::bigint[]) n`,
    );
    expect(row).toEqual({ keys: 5 });
  });
});
