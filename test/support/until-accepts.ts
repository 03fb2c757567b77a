import { setTimeout as sleep } from 'node:timers/promises';
import type { SupervisedProcess } from '#src/embedded/supervised-process.ts';

/**
 * Resolves when a server that was just started takes connections.
 *
 * @param accepts tries one.
 * @throws where the server has ended before, with what `failure` makes then.
 */
export async function untilAccepts(
  server: SupervisedProcess,
  accepts: () => Promise<boolean>,
  failure: () => Error,
): Promise<void> {
  let hasEnded = false;
  void server.ended.then(() => {
    hasEnded = true;
  });
  while (!(await accepts())) {
    if (hasEnded) throw failure();
    await sleep(20);
  }
}
