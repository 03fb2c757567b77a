import { setTimeout as delay } from 'node:timers/promises';
import type { PostgresServer } from '#src/embedded/postgres-server.ts';
import type { Logger } from '#src/observability/logger.ts';

/**
 * Starts a Postgres and restarts it whenever it ends by itself, such as by the out-of-memory killer of the kernel.
 *
 * There is one attempt for each pause. Then it gives up, because another attempt would not help; the log has the reasons. After a minute
 * of running, all attempts are available again.
 *
 * @param start called for each attempt; `signal` aborts when the server must stop.
 * @param pausesMs pauses before the attempts. By default the first is immediate, since it usually succeeds. Later ones outlast a disk
 *   that is briefly full.
 * @returns `stop` also ends an attempt in progress.
 * @throws the error of the first start.
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
          log.info({ attempts }, 'the embedded Postgres has been restarted');
        } catch (error) {
          if (!signal.aborted) log.error({ err: error, attempts }, 'the embedded Postgres could not be restarted');
        }
      }
    }
    log.fatal('the embedded Postgres is not restarted, because it has ended too often');
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
