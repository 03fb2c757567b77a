import { execFile, spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type CommandProcess, startProcess } from '#test/support/command-process.ts';
import { NODE } from '#test/support/image-build.ts';

/** What an image's command is started as, where there is no Docker. */
export interface Container extends CommandProcess {
  /** Runs another command beside the first; resolves with its exit code. */
  run(command: readonly string[]): Promise<number>;
  /** How much memory the process holds. */
  residentKilobytes(): Promise<number>;
}

export interface ContainerOptions {
  /** The folder that stands for `/`, as buildImage gives it. */
  readonly root: string;
  readonly workdir: string;
  /** Its whole environment, but for the PATH. */
  readonly env: Readonly<Record<string, string>>;
  /** As `uid:gid`. Obeyed where we are root; otherwise it is our own user. */
  readonly user: string;
}

/** Whether a process can be given process ids and mounts of its own here: as root, unless that is forbidden. */
export function canIsolate(): boolean {
  return (
    process.getuid?.() === 0 && spawnSync('unshare', ['--mount', '--pid', '--fork', ...READ_ONLY, 'true']).status === 0
  );
}

/**
 * Starts a command as Docker does with `--read-only`: as process 1, where signals without a handler do nothing, as the
 * image's user, with every disk read-only. Where canIsolate is false: as any process.
 */
export function startContainer(command: readonly string[], options: ContainerOptions): Container {
  const { root, workdir, env, user } = options;
  const cwd = join(root, workdir);
  const whole = { PATH: `${dirname(join(root, NODE))}:/usr/bin:/bin`, ...env };
  const [uid, gid] = user.split(':').map(Number);
  const account = process.getuid?.() === 0 && uid !== undefined && gid !== undefined ? { uid, gid } : {};
  const run = async (other: readonly string[]) => {
    const process = startProcess(other, { cwd, env: whole, ...account });
    return (await process.ended).exitCode ?? -1;
  };
  if (!canIsolate()) {
    const process = startProcess(command, { cwd, env: whole, ...account });
    return { ...process, run, residentKilobytes: () => residentKilobytes(process.pid) };
  }
  const become = ['setpriv', `--reuid=${uid}`, `--regid=${gid}`, '--clear-groups', ...command];
  const isolated = ['unshare', '--mount', '--pid', '--fork', ...READ_ONLY, ...become];
  const outer = startProcess(isolated, { cwd, env: whole });
  // unshare itself heeds no signal while its child runs, and setpriv undoes that the child ends with it.
  const inner = () => Number(spawnSync('ps', ['-o', 'pid=', '--ppid', `${outer.pid}`]).stdout);
  const signal = (name: NodeJS.Signals) => {
    if (inner() !== 0) process.kill(inner(), name);
  };
  return {
    ...outer,
    run,
    signal,
    residentKilobytes: () => residentKilobytes(inner()),
    async [Symbol.asyncDispose]() {
      signal('SIGKILL');
      await outer[Symbol.asyncDispose]();
    },
  };
}

/** Runs what follows with every disk read-only; Docker leaves `/dev` and `/proc` writable as well. */
const READ_ONLY = ['sh', '-c', 'mount -o remount,bind,ro / && { ! touch /tmp/. 2>&-; } && exec "$@"', 'sh'];

async function residentKilobytes(pid: number): Promise<number> {
  const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', `${pid}`]);
  return Number(stdout);
}
