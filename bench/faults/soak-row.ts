import { setTimeout as delay } from 'node:timers/promises';
import { atMost, codesOf, type Figure, none, toSee } from './figures.ts';
import { WriteLedger } from './ledger.ts';
import { runLoad } from './load.ts';
import { startPosts } from './posts.ts';
import type { FaultRow, RowResult } from './row.ts';
import { startOurs } from './subject.ts';
import { readMetrics } from './watch-metrics.ts';

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
  const samples: Sample[] = [];
  const startedAt = performance.now();
  const sampling = (async () => {
    for (let n = 0; !ending.signal.aborted; n++) {
      if (n % 4 === 3) await postgres.terminateBackends();
      const series = Object.values(GROWS);
      const values = await readMetrics(subject.adminUrl ?? '', series).catch(() => ({}));
      // Where one has another name now there is nothing to see, and the figures are missed.
      if (Object.keys(values).length === series.length)
        samples.push({ minute: (performance.now() - startedAt) / 60_000, values });
      await delay(5000, undefined, { signal: ending.signal }).catch(() => {});
    }
  })();
  const cancelled = cancelCalls(subject.url, ids, ending.signal);
  const records = await runLoad({ ...load, rate: 400, seconds: minutes * 60 });
  ending.abort();
  await Promise.all([sampling, cancelled]);
  // The first minutes fill the cache.
  const settled = samples.filter(({ minute }) => minute > minutes * 0.3);
  const heap = floors(settled, GROWS.heap).map(([minute, bytes]) => [minute, bytes / 2 ** 20] as const);
  const perMinute = (series: string) => slope(floors(settled, series));
  const figures: Figure[] = [
    atMost('slope of the heap', slope(heap), 0.5, 'MB a minute'),
    atMost('slope of open descriptors', perMinute(GROWS.descriptors), 0.5, 'a minute'),
    atMost('slope of timers', perMinute(GROWS.timers), 0.5, 'a minute'),
    // Node warns of more than ten of one event.
    none('listeners that pile up', subject.errorOutput().split('MaxListenersExceededWarning').length - 1),
    toSee('heap, from and to', `${heap[0]?.[1].toFixed(1)} and ${heap.at(-1)?.[1].toFixed(1)} MiB`),
    ...[GROWS.descriptors, GROWS.timers].map(series => {
      const found = floors(settled, series);
      return toSee(`${series}, from and to`, `${found[0]?.[1]} and ${found.at(-1)?.[1]}`);
    }),
    toSee('calls', codesOf(records)),
  ];
  return { figures, series: { PostService: records } };
}

/** What may not grow, as /metrics names it. */
const GROWS = {
  heap: 'nodejs_heap_size_used_bytes',
  descriptors: 'process_open_fds',
  timers: 'nodejs_active_resources{type="Timeout"}',
};

interface Sample {
  readonly minute: number;
  readonly values: Readonly<Record<string, number>>;
}

/** The least of each half minute: of the heap what is left after a collection of garbage, of the others what is left between faults. */
function floors(samples: readonly Sample[], series: string): (readonly [minute: number, least: number])[] {
  const least = new Map<number, readonly [number, number]>();
  for (const { minute, values } of samples) {
    const half = Math.floor(minute * 2);
    const value = values[series] ?? 0;
    if (value < (least.get(half)?.[1] ?? Number.POSITIVE_INFINITY)) least.set(half, [minute, value]);
  }
  return [...least.values()];
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
