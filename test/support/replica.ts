import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { appendFile, chmod, chown, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { pino } from 'pino';
import { chooseAccount } from '#src/embedded/account.ts';
import { findBinaries } from '#src/embedded/binaries.ts';
import { findFreePort } from '#src/embedded/free-port.ts';
import { placeBinaries, SHARED_DIR } from '#src/embedded/reachable-place.ts';
import { superviseProcess } from '#src/embedded/supervised-process.ts';
import { signalWithChildren } from '#test/support/signal-with-children.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';
import { TEST_SETTINGS } from '#test/support/test-settings.ts';

/** A streaming replica of a Postgres of the tests. The port, and so the URL, stays the same over restarts. */
export interface TestReplica extends AsyncDisposable {
  readonly url: string;
  /** Resolves when it has replayed all that its primary has written by now. */
  catchUp(): Promise<void>;
  /** Replays nothing more; what it gets it keeps. Resolves when it has stopped. */
  pauseReplay(): Promise<void>;
  resumeReplay(): Promise<void>;
  /** Replays each commit so many milliseconds after it was made; 0: at once. Holds for those that wait, too. */
  setReplayDelay(ms: number): Promise<void>;
  /** Ends it, and makes a server of its own of it, that accepts writes. Resolves when it does. */
  promote(): Promise<void>;
  /** All of its processes, by SIGKILL. Resolves when they have ended. */
  kill(): Promise<void>;
  /** Starts it again after `kill`; resolves when it accepts connections. */
  start(): Promise<void>;
  /** Stops every process of it with SIGSTOP: connections stay open, nothing answers. */
  freeze(): Promise<void>;
  /** Ends `freeze`. */
  thaw(): Promise<void>;
}

/**
 * Makes a replica of a Postgres that runs on this machine, and starts it. Its files are copied as they are, between the start and the
 * stop of a backup: the npm packages of Postgres have no pg_basebackup.
 *
 * @param port where it listens, such as that of a primary that has ended; default: a free one.
 */
export async function startReplica(primaryUrl: string, port?: number): Promise<TestReplica> {
  return startReplicaAt(primaryUrl, port ?? (await findFreePort()));
}

async function startReplicaAt(primaryUrl: string, port: number): Promise<TestReplica> {
  const folder = await makeTemporaryFolder();
  const data = join(folder.path, 'data');
  const slot = `replica_${randomUUID().replaceAll('-', '')}`;
  await copyCluster(primaryUrl, slot, data);
  const url = Object.assign(new URL(primaryUrl), { port }).href;
  let server = await startServer(data, port);
  const ask = async <T>(sql: string): Promise<T> => (await queryOnce(url, sql)) as T;

  const pid = async () => Number((await readFile(join(data, 'postmaster.pid'), 'utf8')).split('\n')[0]);
  const kill = async () => {
    await signalWithChildren(await pid(), 'SIGKILL');
    await server.ended;
  };
  return {
    url,
    catchUp: async () => {
      const written = await queryOnce(primaryUrl, 'select pg_current_wal_insert_lsn() as lsn');
      await queryOnce(primaryUrl, 'select pg_log_standby_snapshot()');
      while (!(await ask<boolean>(`select pg_last_wal_replay_lsn() >= '${written}' as replayed`)));
    },
    pauseReplay: async () => {
      await ask('select pg_wal_replay_pause()');
      while ((await ask(`select pg_get_wal_replay_pause_state() as state`)) !== 'paused');
    },
    resumeReplay: () => ask('select pg_wal_replay_resume()'),
    setReplayDelay: async ms => {
      await ask(`alter system set recovery_min_apply_delay = ${ms}`);
      await ask('select pg_reload_conf()');
    },
    promote: () => ask('select pg_promote()'),
    kill,
    start: async () => {
      server = await startServer(data, port);
    },
    freeze: async () => signalWithChildren(await pid(), 'SIGSTOP'),
    thaw: async () => signalWithChildren(await pid(), 'SIGCONT'),
    [Symbol.asyncDispose]: async () => {
      server.signal('KILL');
      await server.ended;
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** https://www.postgresql.org/docs/current/continuous-archiving.html#BACKUP-LOWLEVEL-BASE-BACKUP */
async function copyCluster(primaryUrl: string, slot: string, data: string): Promise<void> {
  const primary = new pg.Client(primaryUrl);
  await primary.connect();
  try {
    // It keeps the log that the replica needs, however long that is down.
    await primary.query('select pg_create_physical_replication_slot($1, true)', [slot]);
    const { rows } = await primary.query<{ data_directory: string }>('show data_directory');
    await primary.query('select pg_backup_start($1, true)', [slot]);
    await promisify(execFile)('cp', ['-a', rows[0]?.data_directory ?? '', data]);
    const stopped = await primary.query<{ labelfile: string }>('select labelfile from pg_backup_stop(false)');
    const { uid, gid } = await stat(data);
    const write = async (name: string, text: string) => {
      await writeFile(join(data, name), text, { mode: 0o600 });
      await chown(join(data, name), uid, gid);
    };
    await write('backup_label', stopped.rows[0]?.labelfile ?? '');
    await write('standby.signal', '');
    // What a replica that was promoted has of its own past would be taken for this one's.
    for (const name of ['postmaster.pid', 'postmaster.opts', 'backup_label.old']) {
      await rm(join(data, name), { force: true });
    }
    for (const name of ['pg_wal', 'pg_replslot']) {
      for (const entry of await readdir(join(data, name))) await rm(join(data, name, entry), { recursive: true });
    }
    const { hostname, port, username, password } = new URL(primaryUrl);
    await appendFile(
      join(data, 'postgresql.auto.conf'),
      `primary_conninfo = 'host=${hostname} port=${port} user=${username} password=${password}'
       primary_slot_name = '${slot}'
       max_connections = ${(await primary.query('show max_connections')).rows[0].max_connections}\n`,
    );
    await chmod(data, 0o700);
  } finally {
    await primary.end();
  }
}

async function startServer(data: string, port: number) {
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
  const ready = Promise.withResolvers<void>();
  const lines: string[] = [];
  const server = superviseProcess([program, '-D', data, ...flags], {
    account,
    endSignal: 'INT',
    onLine: line => {
      lines.push(line);
      if (/database system is ready to accept (read-only )?connections$/.test(line)) ready.resolve();
    },
  });
  void server.ended.then(() => ready.reject(new Error(`the replica ended:\n${lines.slice(-20).join('\n')}`)));
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

/** The first column of the first row, over a connection of its own. */
async function queryOnce(url: string, sql: string): Promise<unknown> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    const { rows } = await client.query(sql);
    return Object.values(rows[0] ?? {})[0];
  } finally {
    await client.end();
  }
}
