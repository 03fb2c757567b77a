import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { inject } from 'vitest';
import { TEMPLATE } from '#test/support/template-database.ts';

/** A database of its own for one test file or test; dropped, whoever is connected, when disposed of. */
export interface TestDatabase extends AsyncDisposable {
  readonly url: string;
}

/**
 * Makes a database in the Postgres of the test run, with the service's schema and no rows.
 *
 * @param options.migrated false: without the schema.
 */
export async function createTestDatabase(options: { readonly migrated?: boolean } = {}): Promise<TestDatabase> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  const template = (options.migrated ?? true) ? TEMPLATE : 'template1';
  // Through the WAL: copying files would first checkpoint the whole server, for every test file.
  await command(`create database ${name} template ${template} strategy wal_log`);
  const url = new URL(inject('postgresUrl'));
  url.pathname = name;
  return { url: url.href, [Symbol.asyncDispose]: () => command(`drop database ${name} with (force)`) };
}

async function command(sql: string): Promise<void> {
  const client = new pg.Client(inject('postgresUrl'));
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
