import { Session } from 'node:inspector/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/**
 * A CPU profile of this process over some milliseconds, for the developer tools of Chrome. Recording costs a few percent.
 *
 * @param signal ends the recording early.
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
