import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import packageJson from '#package.json' with { type: 'json' };

/** The service in a process of its own, as `npm start` runs it. Disposing of it ends it with SIGTERM. */
export interface ServiceProcess extends AsyncDisposable {
  /** Of its public port. */
  readonly url: string;
  /** Of the port for operators. */
  readonly adminUrl: string;
  readonly pid: number;
  /** Resolves with its exit code when it has ended; null where a signal has ended it. */
  readonly ended: Promise<number | null>;
  readonly signal: (name: NodeJS.Signals) => void;
  /** What it has written to its error output: Node's warnings. */
  readonly errorOutput: () => string;
  /** From the spawn until its line `ready` was here, in milliseconds. */
  readonly readyMs: number;
  /** What the `ready` event says: where the time went, in milliseconds since the process began. */
  readonly phases: Readonly<Record<string, number>>;
  /** The memory of this process alone (not of Postgres) that is in RAM, in MiB. Linux only. */
  rssMiB(): Promise<number>;
}

/**
 * Starts the service on free ports, and waits until it is ready.
 *
 * @param settings environment variables, beside those of this process that a program needs.
 * @param onEvent told of each line of its log after that.
 * @throws with what it wrote, where it ends before.
 */
export async function startServiceProcess(
  settings: Readonly<Record<string, string>>,
  onEvent?: (event: LogEvent) => void,
): Promise<ServiceProcess> {
  const { PATH, HOME, TMPDIR } = inherited();
  const env = { PATH, HOME, TMPDIR, PORT: '0', ADMIN_PORT: '0', LOG_FORMAT: 'json', ...settings };
  const begin = performance.now();
  const child = spawn(process.execPath, START, { cwd: ROOT, env, stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(child, 'close').then(() => child.exitCode);
  const wrote: string[] = [];
  const errorOutput = collect(child.stderr);
  const lines = createInterface({ input: child.stdout });
  for await (const line of lines) {
    wrote.push(line);
    const event = line.startsWith('{') ? JSON.parse(line) : {};
    if (event.event !== 'ready') continue;
    const readyMs = performance.now() - begin;
    if (onEvent === undefined) child.stdout.resume();
    else createInterface({ input: child.stdout }).on('line', text => onEvent(JSON.parse(text)));
    return {
      url: event.url,
      adminUrl: event.adminUrl,
      pid: child.pid ?? 0,
      ended,
      signal: name => void child.kill(name),
      errorOutput,
      readyMs,
      phases: { ...event.phases, ready: event.startupMs },
      rssMiB: () => readRss(child),
      [Symbol.asyncDispose]: async () => {
        child.kill('SIGTERM');
        await ended;
      },
    };
  }
  throw new Error(`the service ended before it was ready: ${wrote.join('\n')}\n${errorOutput()}`);
}

/** A line of the log, as JSON. */
export interface LogEvent {
  readonly msg?: string;
  /** As ISO 8601 has it, in UTC. */
  readonly time: string;
}

/** @returns what has come by then. */
export function collect(stream: Readable): () => string {
  let text = '';
  stream.setEncoding('utf8').on('data', (part: string) => {
    text += part;
  });
  return () => text;
}

const ROOT = join(import.meta.dirname, '..');
/** What npm gives to node. */
const START = packageJson.scripts.start.split(' ').slice(1);

async function readRss({ pid }: ChildProcess): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

function inherited(): NodeJS.ProcessEnv {
  // biome-ignore lint/style/noProcessEnv: what a child process needs to run at all, and none of our settings.
  return process.env;
}
