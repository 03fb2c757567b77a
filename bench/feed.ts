import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { migrateToLatest } from '#src/db/migrations/migrate.ts';
import { startEmbeddedPostgres } from '#src/embedded/embedded-postgres.ts';
import { createLogger } from '#src/observability/logger.ts';
import { measureDeliveryCost } from './feed/delivery-cost.ts';
import { type FeedResult, feedReport, missedTargets } from './feed/feed-report.ts';
import { measureNotifyCost } from './feed/notify-cost.ts';
import { measureStaleness } from './feed/staleness.ts';
import { measureStalledWatchers } from './feed/stalled-watchers.ts';
import { describeMachine } from './machine.ts';
import { RESULTS_DIR, writeResults } from './results.ts';
import { startServiceProcess } from './service-process.ts';

/**
 * Measures the change feed: what it costs writers, how soon three instances follow, and what watchers cost, who read and who do not.
 *
 * @param args the parts to run: `notify`, `staleness`, `stalled`, `delivery`; default: all. `--rounds` of all but the second (5), `--seconds`
 *   of the one in between with faults (300).
 * @returns the targets that were missed.
 */
export async function benchFeed(args: readonly string[]): Promise<string[]> {
  const options = { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '300' } } as const;
  const { values, positionals } = parseArgs({ args: [...args], allowPositionals: true, options });
  const unknown = positionals.filter(part => !PARTS.includes(part));
  if (unknown.length > 0) throw new Error(`no part of it: ${unknown.join(', ')}; there are ${PARTS.join(', ')}`);
  const runs = (part: string) => positionals.length === 0 || positionals.includes(part);
  await using parts = new AsyncDisposableStack();
  const folder = parts.adopt(await mkdtemp(join(tmpdir(), 'postservice-bench-')), dir =>
    rm(dir, { recursive: true, force: true }),
  );
  const log = await createLogger({ level: 'error', format: 'json' });
  const postgres = parts.use(await startEmbeddedPostgres({ dataDir: folder, log }));
  await migrateToLatest(postgres.url);
  const settings = { DATABASE_URL: postgres.url, PAGE_TOKEN_SECRET: randomBytes(32).toString('hex') };

  let result: FeedResult = await readFile(join(RESULTS_DIR, 'feed.json'), 'utf8').then(JSON.parse, () => ({}));
  if (runs('notify')) {
    const machine = describeMachine();
    result = { ...result, notify: { machine, found: await measureNotifyCost(postgres.url, Number(values.rounds)) } };
  }
  if (runs('staleness')) {
    const machine = describeMachine();
    await using instances = new AsyncDisposableStack();
    const urls: string[] = [];
    for (let n = 0; n < 3; n++) urls.push(instances.use(await startServiceProcess(settings)).url);
    const calm = await measureStaleness(urls, postgres.url, { seconds: 30, faults: false });
    console.log(`calm: p99 ${calm.ms.p99.toFixed(1)} ms`);
    const faults = await measureStaleness(urls, postgres.url, { seconds: Number(values.seconds), faults: true });
    result = { ...result, staleness: { machine, found: { calm, faults } } };
  }
  if (runs('stalled')) {
    const machine = describeMachine();
    await using service = await startServiceProcess(settings);
    result = { ...result, stalled: { machine, found: await measureStalledWatchers(service, Number(values.rounds)) } };
  }
  if (runs('delivery')) {
    const machine = describeMachine();
    await using service = await startServiceProcess(settings);
    const found = await measureDeliveryCost(service, postgres.url, Number(values.rounds));
    result = { ...result, delivery: { machine, found } };
  }
  console.log(feedReport(result));
  await writeResults({ 'feed.md': feedReport(result), 'feed.json': result });
  return missedTargets(result);
}

const PARTS: readonly string[] = ['notify', 'staleness', 'stalled', 'delivery'];
