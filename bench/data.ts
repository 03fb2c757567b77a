import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { parseConfig } from '#src/config/config.ts';
import { createDatabase } from '#src/db/database.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { createLogger } from '#src/observability/logger.ts';
import { PostgresPostStore } from '#src/posts/store/postgres-post-store.ts';
import { type DataResult, dataReport, missedTargets } from './data/data-report.ts';
import { measureColdCalls } from './data/measure-cold-calls.ts';
import { measureCreates } from './data/measure-creates.ts';
import { measureReads, openPgbench } from './data/measure-reads.ts';
import { openReadArms } from './data/read-arms.ts';
import { describeMachine } from './machine.ts';
import { startPostsDatabase } from './posts-database.ts';
import { writeResults } from './results.ts';
import { startServiceProcess } from './service-process.ts';

/**
 * Measures the way to Postgres and back: reads by id, cold calls from end to end, and batches of creates. It compares them with code that uses
 * the libraries alone. The scenario `lists` measures lists at depth.
 *
 * @param args a folder of Markdown posts to make the posts of (default: the tests' own); `--posts` (1000000); `--data DIR` keeps the database;
 *   `--rounds` (15).
 * @returns the missed targets.
 */
export async function benchData(args: readonly string[]): Promise<string[]> {
  const { values, positionals } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  const rounds = Number(values.rounds);
  await using parts = new AsyncDisposableStack();
  const folder = parts.adopt(await mkdtemp(join(tmpdir(), 'postservice-bench-')), dir =>
    rm(dir, { recursive: true, force: true }),
  );
  const log = await createLogger({ level: 'error', format: 'json' });
  const postsDir = resolve(positionals[0] ?? 'test/fixtures/posts');
  const dataDir = values.data ?? join(folder, 'data');
  const postgres = parts.use(await startPostsDatabase({ dataDir, postsDir, count: Number(values.posts), log }));
  const ids = await someIds(postgres.url, 500);
  const machine = describeMachine();

  const arms = await openReadArms(postgres.url, log, parts);
  const pgbench = await openPgbench(postgres.url, ids, folder);
  const reads = [];
  for (const callers of [64, 8, 1]) {
    const measured = await measureReads(arms, callers === 1 ? undefined : pgbench, ids, callers, rounds);
    reads.push(...measured);
    for (const { name, perSecond } of measured)
      console.log(`${callers} callers, ${name}: ${perSecond.median.toFixed(0)}/s`);
  }
  const ours = ['node', join(import.meta.dirname, 'data/our-service.ts'), '--database', postgres.url];
  const coldCalls = await measureColdCalls(ours, postgres.url, ids, rounds);
  await using service = await startServiceProcess({
    DATABASE_URL: postgres.url,
    PAGE_TOKEN_SECRET: randomBytes(32).toString('hex'),
  });
  const { database: config } = parseConfig({ DATABASE_URL: postgres.url, PAGE_TOKEN_SECRET: 'x'.repeat(32) });
  const db = createDatabase(new ConnectionPool(postgres.url, { ...config, acquireTimeoutMs: 10_000 }));
  parts.defer(() => db.destroy());
  const creates = await measureCreates(new PostgresPostStore(db), service.url, Math.min(rounds, 5));
  const result: DataResult = { machine, posts: Number(values.posts), rounds, reads, coldCalls, creates };
  console.log(dataReport(result));
  await writeResults({ 'data.md': dataReport(result), 'data.json': result });
  return missedTargets(result);
}

const OPTIONS = {
  posts: { type: 'string', default: '1000000' },
  data: { type: 'string' },
  rounds: { type: 'string', default: '15' },
} as const;

async function someIds(url: string, count: number): Promise<string[]> {
  const client = new pg.Client(url);
  await client.connect();
  try {
    const { rows } = await client.query<{ id: string }>('select id from posts tablesample system (5) limit $1', [
      count,
    ]);
    return rows.map(({ id }) => id);
  } finally {
    await client.end();
  }
}
