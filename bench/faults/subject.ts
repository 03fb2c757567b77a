import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { collect, startServiceProcess } from '../service-process.ts';

/** What a fault is done to: the service, or what one would write without it. */
export interface Subject extends AsyncDisposable {
  readonly url: string;
  /** Undefined: it has no port for operators. */
  readonly adminUrl: string | undefined;
  readonly pid: number;
  readonly isAlive: () => boolean;
  /** Node's warnings. */
  readonly errorOutput: () => string;
}

export async function startOurs(settings: Readonly<Record<string, string>>): Promise<Subject> {
  const service = await startServiceProcess({ PAGE_TOKEN_SECRET: 'x'.repeat(32), ...settings });
  let isAlive = true;
  void service.ended.then(() => {
    isAlive = false;
  });
  return { ...service, isAlive: () => isAlive };
}

/** The same RPCs with connect-node and pg's Pool alone, all features off. */
export async function startBare(databaseUrl: string): Promise<Subject> {
  const child = spawn(process.execPath, [BARE, '--database', databaseUrl], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(child, 'close');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const { port } = JSON.parse((await lines.next()).value ?? '{}');
  return {
    url: `http://127.0.0.1:${port}`,
    adminUrl: undefined,
    pid: child.pid ?? 0,
    isAlive: () => child.exitCode === null && child.signalCode === null,
    errorOutput: collect(child.stderr),
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

const BARE = join(import.meta.dirname, '../data/connect-kysely-server.ts');
