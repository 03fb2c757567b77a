import { execFileSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { PostService } from '#gen/blog/v1/post_service_pb.js';

/** How calls ended while every process of Postgres was stopped. */
export interface FrozenResult {
  readonly calls: number;
  /** By how many milliseconds calls outlived their deadlines, as the client saw it, in order. */
  readonly overrunsMs: readonly number[];
  /** How many calls ended with each code. */
  readonly codes: Readonly<Record<string, number>>;
}

/** Stops Postgres with SIGSTOP, makes ten concurrent calls with deadlines of 50 to 500 ms, and resumes Postgres. */
export async function measureFrozen(baseUrl: string, location: string): Promise<FrozenResult> {
  const client = createClient(PostService, createConnectTransport({ baseUrl, httpVersion: '1.1' }));
  // Opens all connections, and compiles the code.
  for (let n = 0; n < 50; n++) await Promise.all(Array.from({ length: CALLERS }, () => client.listPosts({})));
  const overrunsMs: number[] = [];
  const codes: Record<string, number> = {};
  const call = async (deadlineMs: number, write: boolean) => {
    // As a header, so that the server enforces the deadline, not a timer of the client.
    const options = { headers: { 'connect-timeout-ms': String(deadlineMs) } };
    const startedAt = performance.now();
    const answer = write ? client.createPost({ post: { title: 'Frozen' } }, options) : client.listPosts({}, options);
    const error = await answer.then(
      () => undefined,
      reason => ConnectError.from(reason),
    );
    overrunsMs.push(performance.now() - startedAt - deadlineMs);
    const code = error === undefined ? 'ok' : (Code[error.code] ?? 'unknown');
    codes[code] = (codes[code] ?? 0) + 1;
  };
  const postmaster = Number((await readFile(join(location, 'data/postmaster.pid'), 'utf8')).split('\n')[0]);
  signal(postmaster, 'SIGSTOP');
  try {
    for (let round = 0; round < ROUNDS; round++) {
      await Promise.all(Array.from({ length: CALLERS }, (_, n) => call(50 + n * 50, n % 2 === 0)));
    }
  } finally {
    signal(postmaster, 'SIGCONT');
  }
  return { calls: overrunsMs.length, overrunsMs: overrunsMs.sort((a, b) => a - b), codes };
}

const CALLERS = 10;
const ROUNDS = 30;

/** Signals the postmaster and its children. One may have ended meanwhile. */
function signal(postmaster: number, name: NodeJS.Signals): void {
  process.kill(postmaster, name);
  const processes = execFileSync('ps', ['-A', '-o', 'pid=,ppid='], { encoding: 'utf8' }).split('\n');
  for (const [pid, parent] of processes.map(line => line.trim().split(/\s+/).map(Number))) {
    if (parent !== postmaster || pid === undefined) continue;
    try {
      process.kill(pid, name);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
}
