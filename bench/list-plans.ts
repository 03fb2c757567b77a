import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { parseConfig } from '#src/config/config.ts';
import { createDatabase, type Database } from '#src/db/database.ts';
import { noteDuePosts } from '#src/db/migrations/due-posts.ts';
import { migrateToLatest } from '#src/db/migrations/migrate.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { startEmbeddedPostgres } from '#src/embedded/embedded-postgres.ts';
import { createLogger } from '#src/observability/logger.ts';
import { postListQuery } from '#src/posts/store/post-list-query.ts';
import { PostgresPostStore } from '#src/posts/store/postgres-post-store.ts';
import { explain } from './explain.ts';
import { PAGE_SIZE, pageQuery } from './list-cases.ts';
import { DISTRIBUTIONS, fillSkewedPosts } from './lists/fill-skewed-posts.ts';
import { type DueCost, type ListPlansResult, listPlansReport, missedTargets } from './lists/list-plans-report.ts';
import { listCombinations, measureListPlan } from './lists/measure-list-plans.ts';
import { describeMachine } from './machine.ts';
import { RESULTS_DIR, writeResults } from './results.ts';

/**
 * Explains and measures every list, among posts that lie as badly as posts can.
 *
 * @param args `--posts` (1000000), `--rounds` (6), `--data DIR` to keep the databases, `--fill` to make them and no more. With `--only` 0,
 *   1 or 2 it measures the distribution of that number, beside what an earlier run has found of the others.
 * @returns the targets that were missed.
 */
export async function benchListPlans(args: readonly string[]): Promise<string[]> {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const posts = Number(values.posts);
  await using parts = new AsyncDisposableStack();
  const dir = values.data ?? parts.adopt(await mkdtemp(join(tmpdir(), 'postservice-bench-')), remove);
  await mkdir(dir, { recursive: true });
  const log = await createLogger({ level: 'warn', format: 'json' });
  const earlier = values.only === undefined ? undefined : await readEarlier();
  const names = Object.keys(DISTRIBUTIONS);
  const isMeasured = (i: number) => values.only === undefined || Number(values.only) === i;
  const plans = (earlier?.plans ?? []).filter(plan => !isMeasured(names.indexOf(plan.distribution)));
  let due = earlier?.due ?? [];
  for (const [i, distribution] of names.entries()) {
    if (!isMeasured(i)) continue;
    await using postgres = await startEmbeddedPostgres({ dataDir: join(dir, String(i)), log });
    await using stack = new AsyncDisposableStack();
    await migrateToLatest(postgres.url);
    const client = new pg.Client(postgres.url);
    await client.connect();
    stack.defer(() => client.end());
    const { rows } = await client.query<{ count: number }>('select count(*)::int as count from posts');
    if (rows[0]?.count !== posts) await fillSkewedPosts(client, distribution, posts);
    if (values.fill) continue;
    const db = createDatabase(new ConnectionPool(postgres.url, parseConfig({}).database));
    stack.defer(() => db.destroy());
    const bench = { db, client, store: new PostgresPostStore(db), rounds: Number(values.rounds) };
    for (const combination of listCombinations()) {
      plans.push({ distribution, ...(await measureListPlan(combination, bench)) });
    }
    if (i === 0) due = await measureDue(db, client);
    console.log(`${distribution}: ${plans.length} lists`);
  }
  const result: ListPlansResult = { machine: describeMachine(), posts, plans, due };
  if (values.fill) return [];
  await writeResults({ 'list-plans.md': listPlansReport(result), 'list-plans.json': result });
  return missedTargets(result);
}

const OPTIONS = {
  posts: { type: 'string', default: '1000000' },
  rounds: { type: 'string', default: '6' },
  data: { type: 'string' },
  only: { type: 'string' },
  fill: { type: 'boolean', default: false },
} as const;

/** Has published posts wait as if nobody had noted them, and notes them again. */
async function measureDue(db: Database, client: pg.Client): Promise<DueCost[]> {
  const costs: DueCost[] = [];
  for (const waiting of [0, 500, 5000, 50_000]) {
    await client.query(
      'update posts set due_time = null where id in (select id from posts where due_time is not null limit $1)',
      [waiting],
    );
    const read = async (state: 'published' | 'scheduled') => {
      const filter = { author: undefined, tag: 'all', state, showDeleted: true };
      const orders = [true, false].map(descending => ({ by: 'createTime', descending }) as const);
      const buffers = [];
      for (const order of orders) {
        const query = postListQuery(pageQuery(filter, order));
        buffers.push((await explain(client, query.compile(db), PAGE_SIZE)).buffers);
      }
      return Math.max(...buffers);
    };
    const cost = { waiting, published: await read('published'), scheduled: await read('scheduled') };
    const begin = performance.now();
    while ((await noteDuePosts(db, 500)) > 0);
    const seconds = (performance.now() - begin) / 1000;
    costs.push({ ...cost, notedPerSecond: waiting < 5000 ? undefined : waiting / seconds });
  }
  return costs;
}

async function readEarlier(): Promise<ListPlansResult | undefined> {
  const text = await readFile(join(RESULTS_DIR, 'list-plans.json'), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : JSON.parse(text);
}

function remove(dir: string): Promise<void> {
  return rm(dir, { recursive: true, force: true });
}
