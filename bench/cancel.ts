import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import pg from 'pg';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { migrateToLatest } from '#src/db/migrations/migrate.ts';
import { startEmbeddedPostgres } from '#src/embedded/embedded-postgres.ts';
import { createLogger } from '#src/observability/logger.ts';
import { watchStatements } from './cancel/cancelled-statements.ts';
import { measureFrozen } from './cancel/frozen-postgres.ts';
import { type CancelResult, cancelReport, missedTargets } from './cancel/report.ts';
import { describeMachine } from './machine.ts';
import { Random } from './random.ts';
import { writeResults } from './results.ts';
import { startServiceProcess } from './service-process.ts';

/**
 * Cancels calls at random points, and measures how long their statements stay in Postgres (R24). Then it freezes Postgres, and measures by how
 * much calls outlive their deadlines (R2). The service runs in a process of its own; this one is its client.
 *
 * @param args `--calls`: how many to cancel at each rate (10000).
 * @returns the missed targets.
 */
export async function benchCancel(args: readonly string[]): Promise<string[]> {
  const { values } = parseArgs({ args: [...args], options: { calls: { type: 'string', default: '10000' } } });
  const calls = Number(values.calls);
  const machine = describeMachine();
  await using parts = new AsyncDisposableStack();
  const folder = parts.adopt(await mkdtemp(join(tmpdir(), 'postservice-bench-')), dir =>
    rm(dir, { recursive: true, force: true }),
  );
  const log = await createLogger({ level: 'error', format: 'json' });
  const postgres = parts.use(await startEmbeddedPostgres({ dataDir: folder, log }));
  await migrateToLatest(postgres.url);
  const given = { DATABASE_URL: postgres.url, PAGE_TOKEN_SECRET: randomBytes(32).toString('hex') };

  const cancelled: CancelResult['cancelled'][number][] = [];
  for (const rate of RATES) {
    // Only the cancellation ends a statement.
    await using service = await startServiceProcess({ ...given, ...PATIENT });
    await warmUp(service.url);
    const lock = new pg.Client(postgres.url);
    await lock.connect();
    await lock.query('begin; lock table posts in exclusive mode');
    const watch = await watchStatements(postgres.url, LIMIT_MS);
    const cpu = watchCpu();
    await cancelCalls(service.url, calls, rate);
    const cpuShare = cpu();
    cancelled.push({ rate, calls, cpuShare, ...(await watch.end()) });
    await lock.end();
  }
  await using service = await startServiceProcess(given);
  const frozen = await measureFrozen(service.url, postgres.location);
  const result: CancelResult = {
    machine,
    cancelledWithinMs: CANCELLED_WITHIN_MS,
    limitMs: LIMIT_MS,
    cancelled,
    frozen,
  };
  console.log(cancelReport(result));
  await writeResults({ 'cancel.md': cancelReport(result), 'cancel.json': result });
  return missedTargets(result);
}

/** Warms the service up: calls to a cold one hardly reach Postgres. */
async function warmUp(baseUrl: string): Promise<void> {
  const client = createClient(PostService, createConnectTransport({ baseUrl, httpVersion: '1.1' }));
  for (let n = 0; n < 50; n++) {
    await Promise.all(Array.from({ length: 20 }, () => client.createPost({ post: { title: 'Warm' } }).catch(() => {})));
  }
}

/** Calls at a constant rate, however long the calls take. */
async function cancelCalls(baseUrl: string, calls: number, rate: number): Promise<void> {
  const transports = [
    createConnectTransport({ baseUrl, httpVersion: '1.1' }),
    createGrpcTransport({ baseUrl }),
    createConnectTransport({ baseUrl, httpVersion: '2' }),
  ].map(transport => createClient(PostService, transport));
  const random = new Random(24);
  const cancelOne = async (client: (typeof transports)[number]) => {
    const cancelling = new AbortController();
    const { signal } = cancelling;
    // Writes wait for the lock for ever. Reads are cancelled on their way, or answered before.
    const call = random.chance(0.8)
      ? client.createPost({ post: { title: 'Cancelled' } }, { signal })
      : client.listPosts({ pageSize: 1 }, { signal });
    const ended = call.catch(() => {});
    await delay(random.next() * CANCELLED_WITHIN_MS);
    cancelling.abort();
    await ended;
  };
  const begin = performance.now();
  const open: Promise<void>[] = [];
  for (let n = 0; n < calls; n++) {
    const dueIn = begin + (n * 1000) / rate - performance.now();
    if (dueIn > 0) await delay(dueIn);
    open.push(cancelOne(transports[n % transports.length] as (typeof transports)[number]));
  }
  await Promise.all(open);
}

/** @returns a function that gives the share of all cores that was busy since, from 0 to 1. */
function watchCpu(): () => number {
  const read = () => {
    const times = cpus().map(core => core.times);
    const sum = (of: (t: (typeof times)[number]) => number) => times.reduce((total, t) => total + of(t), 0);
    return { idle: sum(t => t.idle), all: sum(t => t.idle + t.user + t.nice + t.sys + t.irq) };
  };
  const before = read();
  return () => {
    const after = read();
    return 1 - (after.idle - before.idle) / (after.all - before.all);
  };
}

/** Calls a second: half of what a machine of two cores can do, and a rate nearer to its limit. */
const RATES = [100, 200];
const CANCELLED_WITHIN_MS = 20;
/** The age limit of a statement, from its start. That is stricter than from the cancellation of its call. */
const LIMIT_MS = 100;
const PATIENT = { DATABASE_LOCK_TIMEOUT: '1h', DATABASE_STATEMENT_TIMEOUT: '1h', DATABASE_POOL_MAX: '50' };
