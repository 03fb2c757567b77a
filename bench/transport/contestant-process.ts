import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** A contestant in a process of its own, on a core of its own. Disposing of it ends it. */
export interface ContestantProcess extends AsyncDisposable {
  readonly port: number;
  /** CPU time of all of its threads until now, in microseconds. */
  cpuUs(): number;
}

/**
 * Starts a contestant, and waits until it says where it listens.
 *
 * @param core that it may use, and no other.
 * @throws with what it wrote, where it ends before.
 */
export async function startContestant(command: readonly string[], core: number): Promise<ContestantProcess> {
  const words = command.map(word => (word === 'node' ? process.execPath : word));
  const child = spawn('taskset', ['-c', String(core), ...words], { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = once(child, 'close');
  const wrote: string[] = [];
  for await (const line of createInterface({ input: child.stdout })) {
    wrote.push(line);
    const port = /^\{"port": *(\d+)/.exec(line)?.[1];
    if (port === undefined) continue;
    child.stdout.resume();
    return {
      port: Number(port),
      cpuUs: () => readCpuUs(child),
      [Symbol.asyncDispose]: async () => {
        child.kill('SIGTERM');
        await ended;
      },
    };
  }
  throw new Error(`${command.join(' ')} ended before it listened: ${wrote.join('\n')}`);
}

const ROOT = join(import.meta.dirname, '../..');

/**
 * From the scheduler's own count, in nanoseconds: the 10 ms of /proc/PID/stat are too coarse for a slice. `taskset` becomes
 * the command, so that the process is the contestant's own.
 */
function readCpuUs({ pid }: ChildProcess): number {
  const tasks = `/proc/${pid}/task`;
  const ns = readdirSync(tasks).map(id => Number(readFileSync(`${tasks}/${id}/schedstat`, 'utf8').split(' ', 1)[0]));
  return ns.reduce((sum, value) => sum + value, 0) / 1000;
}
