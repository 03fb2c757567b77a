import { setTimeout as delay } from 'node:timers/promises';
import type { PostgresServer } from '#src/embedded/postgres-server.ts';
import type { Logger } from '#src/observability/logger.ts';

/**
 * Starts a Postgres, and starts it again whenever it ends by itself, such as by the kernel's out-of-memory killer, so that
 * the service recovers without anybody's help.
 *
 * It is tried once for each of the pauses, and then left alone: what fails that often is not healed by another attempt, and
 * the log has said why. Once it has run for a minute it has all its attempts again.
 *
 * @param start is called as often as needed; `signal` aborts when the server is to stop.
 * @param pausesMs before each new attempt; default: the first at once, since most often one is all it takes, and later ones
 *   for a disk that is full for a moment.
 * @returns `stop` also ends an attempt that is under way.
 * @throws what the first start throws.
 */
export async function startRestartedServer(
  start: (signal: AbortSignal) => Promise<PostgresServer>,
  log: Logger,
  pausesMs: readonly number[] = [0, 250, 500, 1000, 2000, 4000, 8000],
): Promise<Pick<PostgresServer, 'stop'>> {
  const stopping = new AbortController();
  const { signal } = stopping;
  let running: PostgresServer | undefined = await start(signal);
  const stopped = new Promise<undefined>(resolve => {
    signal.addEventListener('abort', () => resolve(undefined), { once: true });
  });

  const keepRunning = async () => {
    let attempts = 0;
    let startedAt = performance.now();
    while (running !== undefined) {
      const end = await Promise.race([running.ended, stopped]);
      if (end === undefined) return;
      running = undefined;
      log.error(end, 'the embedded Postgres has ended unexpectedly');
      if (performance.now() - startedAt > HEALED_AFTER_MS) attempts = 0;
      while (running === undefined && attempts < pausesMs.length) {
        await delay(pausesMs[attempts++], undefined, { signal }).catch(() => {});
        if (signal.aborted) return;
        try {
          running = await start(signal);
          startedAt = performance.now();
          log.info({ attempts }, 'the embedded Postgres has been started again');
        } catch (error) {
          if (!signal.aborted) log.error({ err: error, attempts }, 'the embedded Postgres could not be started again');
        }
      }
    }
    log.fatal('the embedded Postgres is not started again: it has ended too often');
  };

  const kept = keepRunning();
  return {
    stop: async () => {
      stopping.abort();
      await kept;
      await running?.stop();
    },
  };
}

const HEALED_AFTER_MS = 60_000;
