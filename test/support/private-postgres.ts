import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { pino } from 'pino';
import { migrateToLatest } from '#src/db/migrations/migrate.ts';
import { startEmbeddedPostgres } from '#src/embedded/embedded-postgres.ts';
import { signalWithChildren } from '#test/support/signal-with-children.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';
import { TEST_SETTINGS } from '#test/support/test-settings.ts';

/** A Postgres of its own for a test that breaks it. The port, and so the URL, stays the same over restarts. */
export interface PrivatePostgres extends AsyncDisposable {
  readonly url: string;
  /** The process id of the Postgres that runs now. */
  pid(): Promise<number>;
  /** Ends every connection but ours, as an administrator does; resolves with their number when they are gone. */
  terminateBackends(): Promise<number>;
  /** As `pg_ctl stop -m immediate`: no checkpoint, no goodbye. Resolves when it has ended. */
  stopImmediately(): Promise<void>;
  /** As `kill -9` of the postmaster, whose backends notice it and end. Resolves when all have ended. */
  kill(): Promise<void>;
  /** Starts it again after `stopImmediately` or `kill`, on the same data and port; resolves when it accepts connections. */
  start(): Promise<void>;
  /** Stops every process of it with SIGSTOP: connections stay open, nothing answers. */
  freeze(): Promise<void>;
  /** Ends `freeze`. */
  thaw(): Promise<void>;
}

/**
 * Starts a Postgres for one test file, with the service's schema and no rows.
 *
 * @param options.settings Postgres settings, such as `{ max_connections: '20' }`.
 */
export async function startPrivatePostgres(
  options: { readonly settings?: Readonly<Record<string, string>> } = {},
): Promise<PrivatePostgres> {
  const folder = await makeTemporaryFolder();
  // Its end is what these tests are about, so it is no news to anyone.
  const base = { dataDir: folder.path, log: pino({ level: 'silent' }) };
  const settings = { ...TEST_SETTINGS, ...options.settings };
  const first = await startEmbeddedPostgres({ ...base, settings });
  const { url, location } = first;
  let running: AsyncDisposable | undefined = first;

  const pid = async () => Number((await readFile(join(location, 'data', 'postmaster.pid'), 'utf8')).split('\n')[0]);
  const postgres: PrivatePostgres = {
    url,
    pid,
    terminateBackends: () => terminateBackends(url),
    stopImmediately: async () => {
      process.kill(await pid(), 'SIGQUIT');
      await running?.[Symbol.asyncDispose]();
      running = undefined;
    },
    kill: async () => {
      process.kill(await pid(), 'SIGKILL');
      await running?.[Symbol.asyncDispose]();
      running = undefined;
    },
    start: async () => {
      running = await startEmbeddedPostgres({ ...base, settings: { ...settings, port: new URL(url).port } });
    },
    freeze: async () => signalWithChildren(await pid(), 'SIGSTOP'),
    thaw: async () => signalWithChildren(await pid(), 'SIGCONT'),
    [Symbol.asyncDispose]: async () => {
      await running?.[Symbol.asyncDispose]();
      await folder[Symbol.asyncDispose]();
    },
  };
  try {
    await migrateToLatest(url);
  } catch (error) {
    await postgres[Symbol.asyncDispose]();
    throw error;
  }
  return postgres;
}

async function terminateBackends(url: string): Promise<number> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    const { rowCount } = await client.query(
      `select pg_terminate_backend(pid, 10000) from pg_stat_activity
       where backend_type = 'client backend' and pid <> pg_backend_pid()`,
    );
    return rowCount ?? 0;
  } finally {
    await client.end();
  }
}
