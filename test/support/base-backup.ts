import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { findFreePort } from '#src/embedded/embedded-postgres.ts';
import { configureCopy, copyCluster, startCopy } from '#test/support/copied-cluster.ts';
import { query } from '#test/support/query.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

/** A base backup of a Postgres of the tests, and the log of what was written since. */
export interface BaseBackup extends AsyncDisposable {
  /** A name for the moment, which `restore` can go to. */
  mark(name: string): Promise<void>;
  /** A server of its own with what there was at that moment, that takes writes, on a new timeline. The primary must have ended. */
  restore(name: string): Promise<RestoredPostgres>;
}

export interface RestoredPostgres extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
}

/** Takes one now. */
export async function takeBaseBackup(primaryUrl: string): Promise<BaseBackup> {
  const folder = await makeTemporaryFolder();
  const data = join(folder.path, 'data');
  const archive = join(folder.path, 'archive');
  await copyCluster(primaryUrl, data);
  const [shown] = (await query(primaryUrl, 'show data_directory')) as { data_directory: string }[];
  return {
    mark: async name => {
      await query(primaryUrl, `select pg_create_restore_point('${name}')`);
    },
    restore: async name => {
      // All of the log, so what came after that moment, too.
      await mkdir(archive);
      await promisify(execFile)('cp', ['-a', `${shown?.data_directory}/pg_wal/.`, archive]);
      await promisify(execFile)('chmod', ['-R', 'a+rX', archive]);
      await configureCopy(data, {
        signal: 'recovery.signal',
        settings: {
          restore_command: `cp ${archive}/%f %p`,
          recovery_target_name: name,
          recovery_target_action: 'promote',
        },
      });
      const port = await findFreePort();
      const server = await startCopy(data, port, { untilWritable: true });
      return {
        port,
        url: Object.assign(new URL(primaryUrl), { port }).href,
        [Symbol.asyncDispose]: async () => {
          server.signal('KILL');
          await server.ended;
        },
      };
    },
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}
