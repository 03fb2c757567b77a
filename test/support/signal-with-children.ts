import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** Sends a signal, such as SIGSTOP, to a process and its children; those that end meanwhile need none. */
export async function signalWithChildren(parent: number, signal: NodeJS.Signals): Promise<void> {
  // The parent first, so that a stopped one starts no more of them.
  sendSignal(parent, signal);
  for (const child of await childrenOf(parent)) sendSignal(child, signal);
}

async function childrenOf(parent: number): Promise<number[]> {
  const { stdout } = await promisify(execFile)('ps', ['-A', '-o', 'pid=,ppid=']);
  const pairs = stdout.split('\n').map(line => line.trim().split(/\s+/).map(Number));
  return pairs.filter(([, ppid]) => ppid === parent).map(([pid]) => Number(pid));
}

function sendSignal(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
