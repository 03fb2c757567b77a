import { randomBytes } from 'node:crypto';
import { measureStalledWatchers } from '../feed/stalled-watchers.ts';
import { startServiceProcess } from '../service-process.ts';
import { atMost, type Figure, none, toSee } from './figures.ts';
import { startPosts } from './posts.ts';
import type { FaultRow, RowResult } from './row.ts';

/** Readers of streams that do not read. */
export const WATCHER_ROWS: readonly FaultRow[] = [
  { id: 'R21', fault: '200 streams whose reader stalls', run: stallWatchers },
];

/** The same as `npm run bench feed stalled`. */
async function stallWatchers(): Promise<RowResult> {
  await using parts = new AsyncDisposableStack();
  const { postgres } = parts.use(await startPosts());
  const settings = { DATABASE_URL: postgres.url, PAGE_TOKEN_SECRET: randomBytes(32).toString('hex') };
  const service = parts.use(await startServiceProcess(settings));
  const found = await measureStalledWatchers(service, ROUNDS);
  const figures: Figure[] = [
    atMost('memory', found.rssMiBMore, 64, 'MiB more'),
    none("others' calls that failed", found.failed),
    atMost("others' p99, as a share of that without them", found.p99Ratio, 1.1, ''),
    toSee('the same of two phases without them', found.p99AaRatio.toFixed(2)),
  ];
  return { figures };
}

const ROUNDS = 7;
