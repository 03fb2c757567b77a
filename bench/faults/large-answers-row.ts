import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { constants, setPriority } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as delay } from 'node:timers/promises';
import { startServiceProcess } from '../service-process.ts';
import { atMost, codesOf, type Figure, none, tookAt, toSee } from './figures.ts';
import { insertLargePosts } from './large-posts.ts';
import { type CallKind, WriteLedger } from './ledger.ts';
import { runLoad } from './load.ts';
import { startPosts } from './posts.ts';
import type { FaultRow, RowResult } from './row.ts';

/** Many concurrent large answers. */
export const LARGE_ANSWERS_ROW: FaultRow = {
  id: 'R34',
  fault: 'the largest pages, 200 readers at once, half of them stalled',
  run: readLargePages,
};

async function readLargePages(): Promise<RowResult> {
  await using parts = new AsyncDisposableStack();
  const { postgres, ids } = parts.use(await startPosts());
  await insertLargePosts(postgres.url);
  const settings = {
    ...{ DATABASE_URL: postgres.url, PAGE_TOKEN_SECRET: randomBytes(32).toString('hex') },
    ...{ CONNECTIONS_PER_ADDRESS: '0' },
  };
  const service = parts.use(await startServiceProcess(settings));
  const load = { url: () => service.url, ids, ledger: new WriteLedger(), mix: MIX, rate: RATE, deadlineMs: 5000 };
  // Until its memory is that of a service under ordinary load.
  await runLoad({ ...load, rate: 5 * RATE, seconds: WARM_SECONDS });
  const without = await runLoad({ ...load, seconds: SECONDS });
  const before = await service.rssMiB();
  let most = before;
  const look = setInterval(
    () =>
      void service.rssMiB().then(rss => {
        most = Math.max(most, rss);
      }),
    20,
  );
  const readers = spawn(process.execPath, [READERS, service.url, '100', '100'], { stdio: ['pipe', 'pipe', 'inherit'] });
  if (readers.pid !== undefined) setPriority(readers.pid, constants.priority.PRIORITY_LOW);
  const ended = once(readers, 'close');
  const lines = createInterface({ input: readers.stdout })[Symbol.asyncIterator]();
  await lines.next();
  const beside = await runLoad({ ...load, seconds: SECONDS });
  clearInterval(look);
  readers.stdin.end();
  const { outcomes, bytes } = JSON.parse((await lines.next()).value ?? '{}');
  await ended;
  await delay(1000);
  const figures: Figure[] = [
    toSee('memory before', `${before.toFixed(0)} MiB`),
    atMost('memory at most', most - before, 64, 'MiB more'),
    none('small calls that failed', beside.filter(({ code }) => code !== 'ok').length),
    toSee('small calls', codesOf(beside)),
    toSee(
      'their p50, p99 without and with',
      [without, beside].map(of => `${tookAt(of, 0.5).toFixed(1)}, ${tookAt(of, 0.99).toFixed(1)}`).join('; '),
    ),
    toSee('large answers', `${(bytes / 2 ** 20 / SECONDS).toFixed(0)} MiB/s, ${JSON.stringify(outcomes)}`),
    toSee('memory a second after', `${(await service.rssMiB()).toFixed(0)} MiB`),
  ];
  return { figures, series: { beside } };
}

const READERS = join(import.meta.dirname, 'large-readers.ts');
const RATE = 100;
const WARM_SECONDS = 10;
const SECONDS = 15;
const MIX: readonly (readonly [CallKind, number])[] = [
  ['hot', 0.5],
  ['cold', 0.3],
  ['list', 0.1],
  ['write', 0.1],
];
