import { execFile } from 'node:child_process';
import { chown, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { chooseAccount } from '#src/embedded/account.ts';
import { findFreePort } from '#src/embedded/embedded-postgres.ts';
import { findFullPostgres } from '#test/support/full-postgres.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

/** The programs of the system's Postgres, and a folder for clusters that they work on. All servers end when it is disposed of. */
export interface FullPrograms extends AsyncDisposable {
  /** Runs one of them in the folder, as the account that Postgres runs as. */
  run(program: string, ...options: string[]): Promise<void>;
  /** A cluster of that name in the folder. It is made by `initdb`, or by another program before it is started. */
  cluster(name: string): Promise<FullCluster>;
}

/** Its port, and so its URL, stays the same. */
export interface FullCluster {
  readonly url: string;
  readonly port: number;
  readonly data: string;
  initdb(): Promise<void>;
  /** Resolves when it accepts connections. */
  start(): Promise<void>;
  stop(mode: 'fast' | 'immediate'): Promise<void>;
}

/** @throws where there is none and it can't be installed, with what to install. */
export async function fullPrograms(): Promise<FullPrograms> {
  const bin = await findFullPostgres();
  const temporary = await makeTemporaryFolder();
  const account = await chooseAccount(temporary.path);
  const folder = join(temporary.path, 'postgres');
  await mkdir(folder);
  if (account !== undefined) await chown(folder, account.uid, account.gid);
  const as = { cwd: folder, ...(account && { uid: account.uid, gid: account.gid }) };
  const run = async (program: string, ...options: string[]) => {
    await promisify(execFile)(join(bin, program), options, as);
  };
  const running = new Set<FullCluster>();
  return {
    run,
    cluster: async name => {
      const port = await findFreePort();
      const data = join(folder, name);
      const flags = `-p ${port} -k ${folder} -c listen_addresses=127.0.0.1 -c fsync=off -c wal_log_hints=on -c wal_keep_size=256MB`;
      const cluster: FullCluster = {
        ...{ port, data, url: `postgres://postgres@127.0.0.1:${port}/postgres` },
        initdb: () => run('initdb', '-U', 'postgres', '-A', 'trust', '--locale', 'C', '-E', 'UTF8', '-N', '-D', data),
        start: async () => {
          await run('pg_ctl', '-D', data, '-o', flags, '-l', `${data}.log`, '-w', 'start');
          running.add(cluster);
        },
        stop: async mode => {
          running.delete(cluster);
          await run('pg_ctl', '-D', data, '-m', mode, '-w', 'stop');
        },
      };
      return cluster;
    },
    [Symbol.asyncDispose]: async () => {
      for (const cluster of running) await cluster.stop('immediate');
      await temporary[Symbol.asyncDispose]();
    },
  };
}
