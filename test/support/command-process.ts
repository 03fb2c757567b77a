import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { LogLines } from '#test/support/log-lines.ts';

/** A command of the service in a process of its own. Disposing of it kills it, unless it has ended. */
export interface CommandProcess extends AsyncDisposable {
  readonly pid: number;
  /** What it logged: each line of its output that is JSON. */
  readonly log: LogLines;
  /** The event `ready` of its log. Rejects where the process ends before. */
  ready(): Promise<ReadyEvent>;
  signal(name: NodeJS.Signals): void;
  /** Closes our end of its output, so that it can't write there any more. */
  closeOutput(): void;
  /** Stops reading its output, with what it wrote left in the pipe. */
  pauseOutput(): void;
  resumeOutput(): void;
  /** How it ended. */
  readonly ended: Promise<CommandEnd>;
}

export interface ReadyEvent {
  readonly url: string;
  readonly adminUrl: string;
  readonly startupMs: number;
  readonly phases: Readonly<Record<string, number>>;
}

export interface CommandEnd {
  /** Null where a signal ended it. */
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Starts `node src/main.ts …`.
 *
 * @param env its settings, on free ports unless said otherwise; nothing else of our environment is passed on but PATH.
 * @param options.cwd where it runs, and so where its data folder is.
 */
export function startCommand(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  options: { readonly cwd: string },
): CommandProcess {
  // biome-ignore lint/style/noProcessEnv: what the process needs to find programs.
  const whole = { PATH: process.env.PATH ?? '', PORT: '0', ADMIN_PORT: '0', ...env };
  return startProcess([process.execPath, MAIN, ...args], { cwd: options.cwd, env: whole });
}

/** Starts a program that runs a command of the service, with exactly this environment. */
export function startProcess(
  [program = '', ...args]: readonly string[],
  options: {
    readonly cwd: string;
    readonly env: Readonly<Record<string, string>>;
    readonly uid?: number;
    readonly gid?: number;
  },
): CommandProcess {
  const child = spawn(program, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const log = new LogLines();
  const output = { stdout: '', stderr: '' };
  child.stderr.setEncoding('utf8').on('data', text => {
    output.stderr += text;
  });
  createInterface({ input: child.stdout }).on('line', line => {
    output.stdout += `${line}\n`;
    if (line.startsWith('{')) log.write(`${line}\n`);
  });
  const ended = once(child, 'close').then(() => ({ exitCode: child.exitCode, ...output }));
  return {
    pid: child.pid ?? 0,
    log,
    ready: () =>
      Promise.race([
        log.line({ event: 'ready' }) as Promise<unknown> as Promise<ReadyEvent>,
        ended.then(end => Promise.reject(new Error(`ended before it was ready: ${JSON.stringify(end)}`))),
      ]),
    signal: name => {
      child.kill(name);
    },
    closeOutput: () => child.stdout.destroy(),
    pauseOutput: () => child.stdout.pause(),
    resumeOutput: () => child.stdout.resume(),
    ended,
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url));
