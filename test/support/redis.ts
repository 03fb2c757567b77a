import { findFreePort } from '#src/embedded/embedded-postgres.ts';
import { superviseProcess } from '#src/embedded/supervised-process.ts';
import { installedProgram } from '#test/support/installed-program.ts';

/** A Redis of its own for one test file. Nothing it holds survives it; it ends with the test process. */
export interface TestRedis extends AsyncDisposable {
  readonly url: string;
  /** Of redis-server itself, for SIGSTOP and SIGKILL. */
  readonly pid: number;
  /** Ends it, also when it is frozen, and waits until it has ended. Disposing of it does the same. */
  stop(): Promise<void>;
}

/**
 * Starts `redis-server` on 127.0.0.1 and waits until it accepts connections. Where it is missing it is installed with
 * apt-get, as root on Debian and its kin.
 *
 * @param options.port default: a free one. A test that restarts a Redis gives the port of the first.
 * @param options.tls PEM files, for TLS in place of clear text.
 * @param options.settings more of redis-server's, such as `--replicaof`.
 * @throws where there is none and it can't be installed, with what to install; or with what it said when it ended.
 */
export async function startRedis(options: RedisOptions = {}): Promise<TestRedis> {
  const program = await installedProgram('redis-server', { brew: 'redis' });
  for (let attempts = 5; ; attempts--) {
    try {
      return await start(program, options.port ?? (await findFreePort()), options);
    } catch (error) {
      // Another program has taken the port since it was found.
      if (attempts === 0 || options.port !== undefined || !/already in use/.test(String(error))) throw error;
    }
  }
}

interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

interface RedisOptions {
  readonly port?: number;
  readonly tls?: TlsFiles;
  readonly settings?: readonly string[];
}

async function start(program: string, port: number, { tls, settings = [] }: RedisOptions): Promise<TestRedis> {
  const ready = Promise.withResolvers<number>();
  const lines: string[] = [];
  const encrypted = ['--tls-cert-file', `${tls?.cert}`, '--tls-key-file', `${tls?.key}`, '--tls-auth-clients', 'no'];
  const listen = tls === undefined ? ['--port', `${port}`] : ['--port', '0', '--tls-port', `${port}`, ...encrypted];
  const all = ['--bind', '127.0.0.1', ...listen, '--save', '', '--appendonly', 'no', '--dir', '/', ...settings];
  const redis = superviseProcess([program, ...all], {
    endSignal: 'TERM',
    onLine: line => {
      lines.push(line);
      const pid = /^(\d+):[MS] .*Ready to accept connections/.exec(line)?.[1];
      if (pid !== undefined) ready.resolve(Number(pid));
    },
  });
  const ended = redis.ended.then(() => ready.reject(new Error(`redis-server ended:\n${lines.join('\n')}`)));
  const pid = await ready.promise;
  const stop = async () => {
    // It keeps nothing, so there is nothing that a gentle end would save.
    redis.signal('KILL');
    await ended;
  };
  return {
    url: `${tls === undefined ? 'redis' : 'rediss'}://127.0.0.1:${port}`,
    pid,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
