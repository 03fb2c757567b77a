import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { findFreePort } from '#src/embedded/embedded-postgres.ts';
import { configureCopy, copyCluster, startCopy } from '#test/support/copied-cluster.ts';
import { signalWithChildren } from '#test/support/signal-with-children.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

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
 * Makes a replica of a Postgres that runs on this machine, and starts it.
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
  await copyCluster(primaryUrl, data, { keptBySlot: slot });
  const { hostname, port: primaryPort, username, password } = new URL(primaryUrl);
  await configureCopy(data, {
    signal: 'standby.signal',
    settings: {
      primary_conninfo: `host=${hostname} port=${primaryPort} user=${username} password=${password}`,
      primary_slot_name: slot,
    },
  });
  const url = Object.assign(new URL(primaryUrl), { port }).href;
  let server = await startCopy(data, port);
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
      server = await startCopy(data, port);
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
