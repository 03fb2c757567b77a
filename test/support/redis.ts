import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { findFreePort } from '#src/embedded/free-port.ts';
import { superviseProcess } from '#src/embedded/supervised-process.ts';

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
 * @throws where there is none and it can't be installed, with what to install; or with what it said when it ended.
 */
export async function startRedis(options: { readonly port?: number } = {}): Promise<TestRedis> {
  const program = (await findProgram()) ?? (await install());
  for (let attempts = 5; ; attempts--) {
    try {
      return await start(program, options.port ?? (await findFreePort()));
    } catch (error) {
      // Another program has taken the port since it was found.
      if (attempts === 0 || options.port !== undefined || !/already in use/.test(String(error))) throw error;
    }
  }
}

async function start(program: string, port: number): Promise<TestRedis> {
  const ready = Promise.withResolvers<number>();
  const lines: string[] = [];
  const settings = ['--bind', '127.0.0.1', '--port', `${port}`, '--save', '', '--appendonly', 'no', '--dir', '/'];
  const redis = superviseProcess([program, ...settings], {
    endSignal: 'TERM',
    onLine: line => {
      lines.push(line);
      const pid = /^(\d+):M .*Ready to accept connections/.exec(line)?.[1];
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
  return { url: `redis://127.0.0.1:${port}`, pid, stop, [Symbol.asyncDispose]: stop };
}

async function findProgram(): Promise<string | undefined> {
  const { stdout } = await run('/bin/sh', ['-c', 'command -v redis-server || true']);
  return stdout.trim() || undefined;
}

async function install(): Promise<string> {
  const apt = ['-o', 'DPkg::Lock::Timeout=120', '-y', '--no-install-recommends'];
  try {
    if (process.getuid?.() !== 0) throw new Error('only root can install it');
    await run('apt-get', ['update', '-q']);
    // RUNLEVEL=1: policy scripts of the package start no server of the system.
    await run('env', ['RUNLEVEL=1', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', 'install', ...apt, 'redis-server']);
  } catch (cause) {
    throw new Error(
      `the tests need redis-server on the PATH, and it can't be installed here (${cause}); install it with: apt-get install redis-server, or brew install redis`,
      { cause },
    );
  }
  const program = await findProgram();
  if (program === undefined) throw new Error('redis-server was installed, and is not on the PATH');
  return program;
}

const run = promisify(execFile);
