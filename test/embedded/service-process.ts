import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Account } from '#src/embedded/account.ts';

/** A process of its own that has started the embedded Postgres, or failed to. */
export interface ServiceProcess extends AsyncDisposable {
  readonly child: ChildProcess;
  /** The answer of start-service.ts. */
  readonly outcome: Promise<{ readonly url?: string; readonly location?: string; readonly error?: string }>;
  /** SIGKILL, to it alone; resolves when it has ended. */
  kill(): Promise<void>;
}

/**
 * Runs start-service.ts in a process of its own.
 *
 * @param options what startEmbeddedPostgres gets, but the log.
 * @param where.script another copy of start-service.ts; default: ours.
 * @param where.account whom it runs as; default: as we do.
 */
export function startServiceProcess(
  options: object,
  where: { readonly script?: string; readonly account?: Account | undefined } = {},
): ServiceProcess {
  const { script = fileURLToPath(new URL('start-service.ts', import.meta.url)), account } = where;
  const child = spawn(process.execPath, [script, JSON.stringify(options)], {
    stdio: ['ignore', 'pipe', 'inherit'],
    ...(account && { uid: account.uid, gid: account.gid }),
  });
  const ended = once(child, 'exit');
  const firstLine = once(createInterface({ input: child.stdout }), 'line').then(([line]) => JSON.parse(line));
  const kill = async () => {
    child.kill('SIGKILL');
    await ended;
  };
  const outcome = Promise.race([
    firstLine,
    ended.then(([code]) => Promise.reject(new Error(`ended with code ${code}, without an answer`))),
  ]);
  outcome.catch(() => {});
  return { child, outcome, kill, [Symbol.asyncDispose]: kill };
}
