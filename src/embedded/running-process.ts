import { readFile, readlink } from 'node:fs/promises';

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
