import { readFile, readlink, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { EmbeddedPostgresError } from '#src/embedded/binaries.ts';
import type { Logger } from '#src/observability/logger.ts';

/** The option that names the owner of a running Postgres for a later start and for `ps`. */
export function ownerOption(pid: number): string {
  return `cluster_name=postservice ${pid}`;
}

/**
 * Waits until the Postgres of an earlier start on this data folder has ended. After a kill of its service it ends by itself; see
 * superviseProcess.
 *
 * @param timeoutMs how long its last checkpoint may take.
 * @throws EmbeddedPostgresError at once if its service is alive; otherwise after the timeout.
 */
export async function awaitPreviousEnd(dataFolder: string, log: Logger, timeoutMs = 30_000): Promise<void> {
  const folder = await realpath(dataFolder);
  const deadline = performance.now() + timeoutMs;
  for (let told = false; ; told = true) {
    const previous = await readPidFile(folder);
    if (previous === undefined) return;
    if (!(await isPostmasterOf(previous.pid, folder))) {
      // A crash left the file. Postgres notices, unless another program of its user has that process id now.
      if (await isRunning(previous.pid)) await rm(join(folder, 'postmaster.pid'), { force: true });
      return;
    }
    const owner = await readOwner(folder);
    if (!previous.stopping && owner !== undefined && (await isRunning(owner))) {
      throw new EmbeddedPostgresError(
        `the embedded Postgres in ${dataFolder} is in use by another service (process ${owner}): stop that service, or set another DATA_DIR`,
      );
    }
    if (performance.now() > deadline) {
      throw new EmbeddedPostgresError(
        `the Postgres of an earlier start (process ${previous.pid}) still runs in ${dataFolder}: stop that process, and try again`,
      );
    }
    if (!told) log.info({ pid: previous.pid }, 'waiting for the Postgres of an earlier start to end');
    await delay(20);
  }
}

/** postmaster.pid has the process id in line 1 and the state in line 8 (miscadmin.h of Postgres). */
async function readPidFile(folder: string): Promise<{ pid: number; stopping: boolean } | undefined> {
  const text = await readFile(join(folder, 'postmaster.pid'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const lines = text.split('\n');
  return { pid: Number(lines[0]), stopping: lines[7]?.trim() === 'stopping' };
}

/** postmaster.opts has the command line of the Postgres that holds the folder. */
async function readOwner(folder: string): Promise<number | undefined> {
  const text = await readFile(join(folder, 'postmaster.opts'), 'utf8').catch(() => '');
  const pid = /"cluster_name=postservice (\d+)"/.exec(text)?.[1];
  return pid === undefined ? undefined : Number(pid);
}

/** Whether a process of any user runs. A zombie does not. */
export async function isRunning(pid: number): Promise<boolean> {
  if (!Number.isInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
  }
  // proc(5): the state follows the name, which is in parentheses and may hold any character.
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  return !/\) [ZX] [^)]*$/.test(stat);
}

/**
 * Whether a process is the Postgres of the data folder, which is its working directory. A process id in a file proves nothing, because
 * ids are reused, most of all in containers. Without /proc (macOS), any running process counts.
 *
 * @param dataFolder its real path.
 */
export async function isPostmasterOf(pid: number, dataFolder: string): Promise<boolean> {
  if (!(await isRunning(pid))) return false;
  if (process.platform !== 'linux') return true;
  return (await readlink(`/proc/${pid}/cwd`).catch(() => undefined)) === dataFolder;
}
