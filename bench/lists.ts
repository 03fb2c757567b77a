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
import { listFilterCases, ORDERS } from './list-cases.ts';
import { type ListsResult, listsChart, listsPlans, listsReport, missedTargets } from './lists-report.ts';
import { describeMachine } from './machine.ts';
import { type MeasuredList, measureList } from './measure-lists.ts';
import { measureWrites } from './measure-writes.ts';
import { startPostsDatabase } from './posts-database.ts';
import { writeResults } from './results.ts';

/**
 * Measures lists at depth: every order, with each kind of filter, on a Postgres of its own.
 *
 * @param args a folder of Markdown posts to make the posts of (default: $POSTS_DIR, or else the tests' own). `--data DIR` keeps the
 *   database for the next run. `--rounds` (60), `--only NAME` of a filter (all), `--posts` and `--page` make a shorter run.
 * @returns the targets that were missed.
 */
export async function benchLists(args: readonly string[]): Promise<string[]> {
  const { values, positionals } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  // biome-ignore lint/style/noProcessEnv: where a benchmark's input is, is no setting of the service.
  const postsDir = resolve(positionals[0] ?? process.env.POSTS_DIR ?? FIXTURES);
  await using parts = new AsyncDisposableStack();
  const dataDir = values.data ?? parts.adopt(await mkdtemp(join(tmpdir(), 'postservice-bench-')), remove);
  const log = await createLogger({ level: 'warn', format: 'json' });
  const postgres = parts.use(await startPostsDatabase({ dataDir, postsDir, count: Number(values.posts), log }));
  const db = createDatabase(new ConnectionPool(postgres.url, parseConfig({}).database));
  parts.defer(() => db.destroy());
  const client = new pg.Client(postgres.url);
  await client.connect();
  parts.defer(() => client.end());

  const store = new PostgresPostStore(db);
  const machine = describeMachine({ postgres: await ask(client, 'show server_version') });
  const size = await ask(client, 'select pg_size_pretty(pg_database_size(current_database()))');
  const bench = { db, client, store, deepest: Number(values.page), rounds: Number(values.rounds) };
  const lists: MeasuredList[] = [];
  const filterCases = await listFilterCases(client);
  for (const filterCase of filterCases.filter(({ name }) => values.only?.includes(name) ?? true)) {
    for (const order of ORDERS) {
      const list = await measureList(filterCase, order, {
        ...bench,
        // Each takes seconds, and no more needs to be known of it.
        offsetCalls: 1,
      });
      lists.push(list);
      console.log(
        `${list.filter}, ${list.order}: page 1 ${list.first.ms.median.toFixed(2)} ms, page ${list.deepPage} ` +
          `${list.deep.ms.median.toFixed(2)} ms, by OFFSET ${list.offsetMs.median.toFixed(0)} ms`,
      );
    }
  }
  const created: string[] = [];
  const model = { title: 'A post', content: 'Some words. '.repeat(150), author: 'Ada', tags: ['a', 'b', 'c'] };
  const writes = await measureWrites(store, model, created);
  await client.query('delete from posts where id = any($1)', [created]);

  const result: ListsResult = { machine, posts: Number(values.posts), size, rounds: bench.rounds, lists, writes };
  await writeResults({
    'lists.md': listsReport(result),
    'lists.svg': listsChart(result),
    'lists-plans.md': listsPlans(result),
    'lists.json': { ...result, lists: lists.map(({ plans: _, ...list }) => list) },
  });
  return missedTargets(result);
}

/** With so many, 2 % of them deleted, a list of all live posts has a page 50,000. */
const POSTS = 1_025_000;
const FIXTURES = join(import.meta.dirname, '../test/fixtures/posts');
const OPTIONS = {
  data: { type: 'string' },
  rounds: { type: 'string', default: '60' },
  only: { type: 'string', multiple: true },
  posts: { type: 'string', default: String(POSTS) },
  page: { type: 'string', default: '50000' },
} as const;

async function ask(client: pg.Client, sql: string): Promise<string> {
  const { rows } = await client.query({ text: sql, rowMode: 'array' });
  return rows[0]?.[0];
}

function remove(dir: string): Promise<void> {
  return rm(dir, { recursive: true, force: true });
}
