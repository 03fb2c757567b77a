import pg from 'pg';
import { pino } from 'pino';
import type { TestProject } from 'vitest/node';
import { migrateToLatest } from '#src/db/migrations/migrate.ts';
import { startEmbeddedPostgres } from '#src/embedded/embedded-postgres.ts';
import { TEMPLATE } from '#test/support/template-database.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';
import { TEST_SETTINGS } from '#test/support/test-settings.ts';

/** Vitest's globalSetup: one Postgres for the whole run, which ends with it, however it ends. */
export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const stack = new AsyncDisposableStack();
  try {
    const folder = stack.use(await makeTemporaryFolder());
    const postgres = stack.use(
      await startEmbeddedPostgres({ dataDir: folder.path, log: pino({ level: 'warn' }), settings: TEST_SETTINGS }),
    );
    await createTemplate(postgres.url);
    project.provide('postgresUrl', postgres.url);
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
  return () => stack.disposeAsync();
}

async function createTemplate(url: string): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  await client.query(`create database ${TEMPLATE}`);
  await client.end();
  const template = new URL(url);
  template.pathname = TEMPLATE;
  await migrateToLatest(template.href);
}
