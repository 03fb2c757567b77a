import { execFile } from 'node:child_process';
import { appendFile, chmod, chown, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { pino } from 'pino';
import { chooseAccount } from '#src/embedded/account.ts';
import { findBinaries } from '#src/embedded/binaries.ts';
import { placeBinaries, SHARED_DIR } from '#src/embedded/reachable-place.ts';
import { type SupervisedProcess, superviseProcess } from '#src/embedded/supervised-process.ts';
import { TEST_SETTINGS } from '#test/support/test-settings.ts';

/**
 * Copies the files of a Postgres that runs on this machine, between the start and the stop of a backup: the npm packages of Postgres have
 * no pg_basebackup. The copy has no log: it gets it from its primary, or from an archive.
 *
 * @param options.keptBySlot makes a slot of this name, which keeps the log that a replica needs, however long that is down.
 * @see https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP
 */
export async function copyCluster(
  primaryUrl: string,
  data: string,
  { keptBySlot }: { readonly keptBySlot?: string } = {},
): Promise<void> {
  const primary = new pg.Client(primaryUrl);
  await primary.connect();
  try {
    if (keptBySlot !== undefined)
      await primary.query('select pg_create_physical_replication_slot($1, true)', [keptBySlot]);
    const { rows } = await primary.query<{ data_directory: string }>('show data_directory');
    await primary.query('select pg_backup_start($1, true)', [data]);
    await promisify(execFile)('cp', ['-a', rows[0]?.data_directory ?? '', data]);
    const stopped = await primary.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)');
    await writeOwn(data, 'backup_label', stopped.rows[0]?.labelfile ?? '');
    // What a replica that was promoted has of its own past would be taken for this one's.
    for (const name of ['postmaster.pid', 'postmaster.opts', 'backup_label.old']) {
      await rm(join(data, name), { force: true });
    }
    for (const name of ['pg_wal', 'pg_replslot']) {
      for (const entry of await readdir(join(data, name))) await rm(join(data, name, entry), { recursive: true });
    }
    // A standby may not have less of these than its primary.
    const { rows: limits } = await primary.query<{ line: string }>(
      "select name || ' = ' || setting as line from pg_settings where name in ('max_connections', 'max_prepared_transactions')",
    );
    await appendFile(join(data, 'postgresql.auto.conf'), limits.map(({ line }) => `${line}\n`).join(''));
    await chmod(data, 0o700);
  } finally {
    await primary.end();
  }
}

/** @param options.signal the file that tells Postgres what to do with the copy when it starts. */
export async function configureCopy(
  data: string,
  { signal, settings }: { readonly signal: string; readonly settings: Readonly<Record<string, string>> },
): Promise<void> {
  await writeOwn(data, signal, '');
  const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'\n`);
  await appendFile(join(data, 'postgresql.auto.conf'), lines.join(''));
}

async function writeOwn(data: string, name: string, text: string): Promise<void> {
  const { uid, gid } = await stat(data);
  await writeFile(join(data, name), text, { mode: 0o600 });
  await chown(join(data, name), uid, gid);
}

/** Starts the Postgres of a copied cluster; resolves when it accepts connections. @param untilWritable and when they may write. */
export async function startCopy(
  data: string,
  port: number,
  { untilWritable = false }: { readonly untilWritable?: boolean } = {},
): Promise<SupervisedProcess> {
  const account = await chooseAccount(data);
  const { postgres: program } = await placeBinaries(
    await findBinaries(),
    account,
    SHARED_DIR,
    pino({ level: 'silent' }),
  );
  const { max_connections: _, ...settings } = TEST_SETTINGS;
  const all = { ...settings, ...SETTINGS, port };
  const flags = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
  const isReady = untilWritable ? IS_WRITABLE : IS_READABLE;
  const ready = Promise.withResolvers<void>();
  const lines: string[] = [];
  const server = superviseProcess([program, '-D', data, ...flags], {
    account,
    endSignal: 'INT',
    onLine: line => {
      lines.push(line);
      if (isReady.test(line)) ready.resolve();
    },
  });
  void server.ended.then(() => ready.reject(new Error(`the copy ended:\n${lines.slice(-20).join('\n')}`)));
  await ready.promise;
  return server;
}

const SETTINGS = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  log_line_prefix: '',
  // When it has lost its primary; 5 s by default.
  wal_retrieve_retry_interval: '50ms',
};

const IS_WRITABLE = /database system is ready to accept connections$/;
const IS_READABLE = /database system is ready to accept (read-only )?connections$/;
