import { setTimeout as delay } from 'node:timers/promises';
import { atMost, codesOf, type Figure, toSee } from './figures.ts';
import { WriteLedger } from './ledger.ts';
import { runLoad } from './load.ts';
import { startPosts } from './posts.ts';
import type { FaultRow, RowResult } from './row.ts';
import { startOurs } from './subject.ts';
import { readMetric } from './watch-metrics.ts';

/** R20, for so many minutes: what grows with time alone. */
export function soakRow(minutes: number): FaultRow {
  return {
    id: 'R20',
    fault: `${minutes} min of load, with 5 % of the calls cancelled and a fault each 20 s`,
    run: () => soak(minutes),
  };
}

async function soak(minutes: number): Promise<RowResult> {
  await using parts = new AsyncDisposableStack();
  const { postgres, ids } = parts.use(await startPosts());
  const subject = parts.use(await startOurs({ DATABASE_URL: postgres.url }));
  const ledger = new WriteLedger();
  const load = { url: () => subject.url, ids, ledger };
  await runLoad({ ...load, rate: 300, seconds: 30, seed: 2 });
  const ending = new AbortController();
  const samples: { minute: number; heapMiB: number; fds: number }[] = [];
  const startedAt = performance.now();
  const sampling = (async () => {
    for (let n = 0; !ending.signal.aborted; n++) {
      if (n % 4 === 3) await postgres.terminateBackends();
      const heap = await readMetric(subject.adminUrl ?? '', 'nodejs_heap_size_used_bytes').catch(() => undefined);
      const fds = await readMetric(subject.adminUrl ?? '', 'process_open_fds').catch(() => undefined);
      if (heap !== undefined && fds !== undefined)
        samples.push({ minute: (performance.now() - startedAt) / 60_000, heapMiB: heap / 2 ** 20, fds });
      await delay(5000, undefined, { signal: ending.signal }).catch(() => {});
    }
  })();
  const cancelled = cancelCalls(subject.url, ids, ending.signal);
  const records = await runLoad({ ...load, rate: 400, seconds: minutes * 60 });
  ending.abort();
  await Promise.all([sampling, cancelled]);
  // The least of each half minute: what is left after a collection of garbage.
  const floors = new Map<number, { minute: number; heapMiB: number; fds: number }>();
  for (const sample of samples) {
    const half = Math.floor(sample.minute * 2);
    const floor = floors.get(half);
    if (floor === undefined || sample.heapMiB < floor.heapMiB) floors.set(half, sample);
  }
  // The first minutes fill the cache.
  const settled = [...floors.values()].filter(({ minute }) => minute > minutes * 0.3);
  const figures: Figure[] = [
    atMost('slope of the heap', slope(settled.map(({ minute, heapMiB }) => [minute, heapMiB])), 0.5, 'MB a minute'),
    atMost('slope of open descriptors', slope(settled.map(({ minute, fds }) => [minute, fds])), 0.5, 'a minute'),
    toSee('heap, from and to', `${settled[0]?.heapMiB.toFixed(1)} and ${settled.at(-1)?.heapMiB.toFixed(1)} MiB`),
    toSee('calls', codesOf(records)),
  ];
  return { figures, series: { PostService: records } };
}

/** 20 calls a second that are given up after some milliseconds. */
async function cancelCalls(url: string, ids: readonly string[], signal: AbortSignal): Promise<void> {
  for (let n = 0; !signal.aborted; n++) {
    const body = JSON.stringify({ id: ids[n % ids.length] });
    const giveUp = AbortSignal.timeout(n % 10);
    const headers = { 'content-type': 'application/json' };
    void fetch(`${url}/blog.v1.PostService/GetPost`, { method: 'POST', headers, body, signal: giveUp })
      .then(response => response.arrayBuffer())
      .catch(() => {});
    await delay(50, undefined, { signal }).catch(() => {});
  }
}

/** Of the line through the points that is nearest to them. */
function slope(points: readonly (readonly [x: number, y: number])[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanX, meanY] = [mean(points.map(([x]) => x)), mean(points.map(([, y]) => y))];
  const over = points.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  return over / points.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
}
