import { addAbortListener } from 'node:events';
import type { Account } from '#src/embedded/account.ts';
import { EmbeddedPostgresError } from '#src/embedded/binaries.ts';
import { superviseProcess } from '#src/embedded/supervised-process.ts';
import type { Logger } from '#src/observability/logger.ts';

/** A Postgres that accepts connections. */
export interface PostgresServer {
  /** Fast shutdown: ends connections and writes the data. Escalates in steps, at most 18 s. */
  stop(): Promise<void>;
  /** Resolves with the exit code and the last log lines once it has ended for any reason. */
  readonly ended: Promise<PostgresEnd>;
}

export interface PostgresEnd {
  /** 128 + n: killed by signal n. */
  readonly code: number;
  readonly lines: readonly string[];
}

/**
 * Starts a Postgres and waits until it accepts connections. Its log lines are logged at debug level.
 *
 * @param signal stops Postgres if it aborts before that.
 * @throws PostgresStartError with the reason if Postgres ends before that.
 */
export async function startPostgresServer(
  command: readonly string[],
  account: Account | undefined,
  log: Logger,
  signal?: AbortSignal,
): Promise<PostgresServer> {
  const ready = Promise.withResolvers<void>();
  const lines: string[] = [];
  const onLine = (line: string) => {
    log.debug({ source: 'postgres' }, line);
    if (lines.push(line) > 20) lines.shift();
    if (line.endsWith('database system is ready to accept connections')) ready.resolve();
  };
  const postgres = superviseProcess(command, { account, endSignal: 'INT', onLine });
  const ended = postgres.ended.then(code => {
    ready.reject(new PostgresStartError(code, lines));
    return { code, lines };
  });
  const stop = async () => {
    for (const [name, waitMs] of STOP_STEPS) {
      postgres.signal(name);
      if (await withTimeout(ended, waitMs)) return;
      log.warn({ signal: name, waitMs }, 'the embedded Postgres has not stopped yet');
    }
  };
  using _stopping = signal && addAbortListener(signal, () => void stop());
  await ready.promise;
  return { ended, stop };
}

/** Postgres ended before it accepted connections. The message has the reason in one line. */
export class PostgresStartError extends EmbeddedPostgresError {
  /**
   * Whether another attempt may succeed: the port was taken meanwhile, processes of a killed Postgres are still ending, or another
   * Postgres that starts at the same time holds the data folder.
   */
  readonly isTransient: boolean;

  constructor(code: number, lines: readonly string[]) {
    const fatal = lines.filter(line => /^(FATAL|PANIC|DETAIL|HINT):/.test(line));
    const reason = (fatal.length > 0 ? fatal : lines.slice(-3)).map(line => line.replace(/\s+/g, ' ')).join('; ');
    super(`the embedded Postgres does not start: ${reason || `exit code ${code}`}`);
    this.isTransient = lines.some(line => TRANSIENT.test(line));
  }
}

const TRANSIENT =
  /Address already in use|pre-existing shared memory block|lock file "postmaster\.pid" (already exists|is empty)/;

/**
 * INT ends connections and writes a checkpoint. QUIT leaves the checkpoint to the recovery of the next start; Postgres kills a backend
 * that does not quit within 5 s.
 */
const STOP_STEPS = [
  ['INT', 10_000],
  ['QUIT', 6_000],
  ['KILL', 2_000],
] as const;

async function withTimeout(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const timeout = Promise.withResolvers<boolean>();
  const timer = setTimeout(timeout.resolve, ms, false);
  try {
    return await Promise.race([promise.then(() => true), timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}
