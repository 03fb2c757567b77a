import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Gives back the memory that only the start needed, some 35 of 145 MB, in the first second in which the process has little to do. V8 would
 * keep it until there is enough load for a full collection. It takes 50 to 150 ms, for which the first calls must not wait.
 */
export function collectStartupGarbage(): void {
  let before = process.cpuUsage();
  const looking = setInterval(() => {
    const { user, system } = process.cpuUsage(before);
    before = process.cpuUsage();
    if (user + system > QUIET_US) return;
    clearInterval(looking);
    collect();
  }, LOOK_EACH_MS).unref();
}

function collect(): void {
  setFlagsFromString('--expose-gc');
  const gc: NodeJS.GCFunction = runInNewContext('gc');
  setFlagsFromString('--no-expose-gc');
  gc({ type: 'major', execution: 'sync', flavor: 'last-resort' });
}

const LOOK_EACH_MS = 1000;
/** A tenth of a core: more than a service without calls takes, and less than it takes with some. */
const QUIET_US = 100_000;
