import pg from 'pg';
import { describe, expect, inject, it } from 'vitest';
import { LATEST_MIGRATION } from '#src/db/migrations/schema-version.ts';
import { createTestDatabase } from '#test/support/postgres.ts';
import { query } from '#test/support/query.ts';

describe('createTestDatabase', () => {
  it("gives a database with the service's schema", async () => {
    await using database = await createTestDatabase();
    expect(await query(database.url, 'select name from kysely_migration order by name desc limit 1')).toEqual([
      { name: LATEST_MIGRATION },
    ]);
  });

  it('gives an empty database on request', async () => {
    await using database = await createTestDatabase({ migrated: false });
    expect(await query(database.url, `select from pg_tables where schemaname = 'public'`)).toEqual([]);
  });

  it('gives each caller a database of its own', async () => {
    await using one = await createTestDatabase();
    await using other = await createTestDatabase();
    await query(one.url, 'create table mine ()');
    await expect(query(other.url, 'select from mine')).rejects.toMatchObject({ code: '42P01' });
  });

  it('drops it when disposed of, also while somebody is connected', async () => {
    const database = await createTestDatabase();
    const client = new pg.Client(database.url);
    client.on('error', () => {});
    await client.connect();
    await database[Symbol.asyncDispose]();
    const name = new URL(database.url).pathname.slice(1);
    expect(await query(inject('postgresUrl'), `select from pg_database where datname = '${name}'`)).toEqual([]);
    await client.end();
  });
});
