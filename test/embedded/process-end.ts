import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { isRunning } from '#src/embedded/previous-postgres.ts';

/** The process id of the Postgres of a cluster. */
export async function postmasterOf(location: string): Promise<number> {
  return Number((await readFile(join(location, 'data', 'postmaster.pid'), 'utf8')).split('\n')[0]);
}

/** Resolves when a process that is not our child has ended; the system sends no event for that. */
export async function awaitEnd(pid: number): Promise<void> {
  while (await isRunning(pid)) await delay(10);
}
