import { readFile, readlink, realpath, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { EmbeddedPostgresError } from '#src/embedded/binaries.ts';
import type { Logger } from '#src/observability/logger.ts';

/** The option that tells a later start which process owns a running Postgres; `ps` shows it too. */
export function ownerOption(pid: number): string {
  return `cluster_name=postservice ${pid}`;
}

/**
 * Waits until the Postgres that an earlier service started on this data folder has ended. That of a killed service ends
 * by itself, see superviseProcess.
 *
 * @param timeoutMs how long it may take to write its last checkpoint.
 * @throws EmbeddedPostgresError at once where its service is alive.
 */
export async function awaitPreviousEnd(dataFolder: string, log: Logger, timeoutMs = 30_000): Promise<void> {
  const folder = await realpath(dataFolder);
  const deadline = performance.now() + timeoutMs;
  for (let told = false; ; told = true) {
    const previous = await readPidFile(folder);
    if (previous === undefined) return;
    if (!(await isPostmasterOf(previous.pid, folder))) {
      // Left by a crash. Postgres sees that itself, unless another program of its user has got the number since.
      if (await isRunning(previous.pid)) await rm(join(folder, 'postmaster.pid'), { force: true });
      return;
    }
    const owner = await readOwner(folder);
    if (!previous.stopping && owner !== undefined && (await isRunning(owner))) {
      throw new EmbeddedPostgresError(
        `the embedded Postgres in ${dataFolder} is in use by another service (process ${owner}): stop that one, or set another DATA_DIR`,
      );
    }
    if (performance.now() > deadline) {
      throw new EmbeddedPostgresError(
        `the Postgres of an earlier start (process ${previous.pid}) still runs in ${dataFolder}: stop it first`,
      );
    }
    if (!told) log.info({ pid: previous.pid }, 'waiting for the Postgres of an earlier start to end');
    await delay(20);
  }
}

/** postmaster.pid: the process id is its first line, the state its eighth (Postgres' miscadmin.h). */
async function readPidFile(folder: string): Promise<{ pid: number; stopping: boolean } | undefined> {
  const text = await readFile(join(folder, 'postmaster.pid'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const lines = text.split('\n');
  return { pid: Number(lines[0]), stopping: lines[7]?.trim() === 'stopping' };
}

/** postmaster.opts: the command line of the Postgres that holds the folder, written when it has got it. */
async function readOwner(folder: string): Promise<number | undefined> {
  const text = await readFile(join(folder, 'postmaster.opts'), 'utf8').catch(() => '');
  const pid = /"cluster_name=postservice (\d+)"/.exec(text)?.[1];
  return pid === undefined ? undefined : Number(pid);
}

/** Tells whether a process runs, whoever owns it. One that has ended and that its parent has not yet reaped does not. */
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
 * Tells whether a process is the Postgres that serves the data folder: it works in that folder. Process ids are used
 * again, most of all in containers, so a number in a file proves nothing. Without /proc (macOS) any running process
 * counts.
 *
 * @param dataFolder its real path.
 */
export async function isPostmasterOf(pid: number, dataFolder: string): Promise<boolean> {
  if (!(await isRunning(pid))) return false;
  if (process.platform !== 'linux') return true;
  return (await readlink(`/proc/${pid}/cwd`).catch(() => undefined)) === dataFolder;
}
