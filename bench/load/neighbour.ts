import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Starts a process that takes half of a core, in slices of 10 ms. Disposing of it ends it. */
export function startNeighbour(): AsyncDisposable {
  const child = spawn(process.execPath, ['-e', BUSY], { stdio: 'ignore' });
  return {
    [Symbol.asyncDispose]: async () => {
      const ended = once(child, 'close');
      child.kill('SIGKILL');
      await ended;
    },
  };
}

const BUSY = 'setInterval(() => { for (const at = performance.now(); performance.now() - at < 10; ); }, 20)';
