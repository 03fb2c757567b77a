import { Session } from 'node:inspector/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * What this process spends its time on, for so many milliseconds, as the developer tools of Chrome show it. Costs it a few percent
 * meanwhile.
 *
 * @param signal where it aborts, the recording ends, with what there is.
 */
export async function recordCpuProfile(ms: number, signal: AbortSignal): Promise<object> {
  const session = new Session();
  session.connect();
  try {
    await session.post('Profiler.enable');
    await session.post('Profiler.start');
    await sleep(ms, undefined, { signal }).catch(() => {});
    return (await session.post('Profiler.stop')).profile;
  } finally {
    session.disconnect();
  }
}
