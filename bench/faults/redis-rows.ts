import { setTimeout as delay } from 'node:timers/promises';
import { startRedis } from '#test/support/redis.ts';
import { startTcpProxy, type TcpProxy } from '#test/support/tcp-proxy.ts';
import { atLeast, atMost, between, type Figure, successes, tookAt, toSee } from './figures.ts';
import { WriteLedger } from './ledger.ts';
import { type LoadOptions, runLoad } from './load.ts';
import { startPosts } from './posts.ts';
import type { FaultRow, RowResult, RunLength } from './row.ts';
import { startOurs } from './subject.ts';
import { watchMetric } from './watch-metrics.ts';

/** Faults of Redis: no call may fail, and none may wait for it. */
export const REDIS_ROWS: readonly FaultRow[] = [
  {
    id: 'R7',
    fault: 'Redis killed',
    run: length => run(length, async ({ redis }) => redis.stop(), { firstSecondMs: undefined }),
  },
  {
    id: 'R8',
    fault: 'Redis black-holed',
    run: length => run(length, async ({ proxy }) => proxy.set({ blackHole: true }), { firstSecondMs: 50 }),
  },
  {
    id: 'R9',
    fault: 'Redis flapping, each 0.5 s',
    run: length =>
      run(
        length,
        async ({ proxy, until }) => {
          for (let isHole = true; performance.now() < until; isHole = !isHole) {
            proxy.set({ blackHole: isHole });
            await delay(500);
          }
          proxy.heal();
        },
        { firstSecondMs: 50, changesMax: 6 },
      ),
  },
];

interface BreakUses {
  readonly redis: { stop(): Promise<void> };
  readonly proxy: TcpProxy;
  /** `performance.now()` when the fault is to be over. */
  readonly until: number;
}

async function run(
  length: RunLength,
  breakIt: (uses: BreakUses) => Promise<void>,
  targets: { readonly firstSecondMs: number | undefined; readonly changesMax?: number },
): Promise<RowResult> {
  await using parts = new AsyncDisposableStack();
  const { postgres, ids } = parts.use(await startPosts());
  const redis = parts.use(await startRedis());
  const { hostname: host, port } = new URL(redis.url);
  const proxy = parts.use(await startTcpProxy({ host, port: Number(port) }));
  // A small cache in the process, so that most reads come to Redis.
  const settings = { DATABASE_URL: postgres.url, REDIS_URL: proxy.through(redis.url), CACHE_NEAR_BYTES: '64KiB' };
  const subject = parts.use(await startOurs(settings));
  const ledger = new WriteLedger();
  const load: Omit<LoadOptions, 'seconds'> = { url: () => subject.url, rate: RATE, ids, ledger };
  await runLoad({ ...load, seconds: WARM_UP_SECONDS, seed: 2 });
  const watch = parts.use(watchMetric(subject.adminUrl ?? '', 'circuit_breaker_state{dependency="redis"}'));
  let faultMs = 0;
  let fault: Promise<void> | undefined;
  const records = await runLoad({
    ...load,
    seconds: length.total,
    onStart: startedAt => {
      fault = (async () => {
        await delay(length.faultAt * 1000);
        faultMs = performance.now() - startedAt;
        await breakIt({ redis, proxy, until: startedAt + (length.faultAt + length.faultFor) * 1000 });
        await delay(Math.max(0, startedAt + (length.faultAt + length.faultFor) * 1000 - performance.now()));
        proxy.heal();
      })();
    },
  });
  await fault;
  const endMs = faultMs + length.faultFor * 1000;
  const before = tookAt(between(records, 0, faultMs), 0.99);
  const first = tookAt(between(records, faultMs, faultMs + 1000), 0.99);
  const later = tookAt(between(records, faultMs + 1000, endMs), 0.99);
  const changes = watch.samples.filter(({ value }, n) => n > 0 && value !== watch.samples[n - 1]?.value).length;
  const figures: Figure[] = [
    atLeast('successes', successes(records), 100, '%'),
    toSee('p99 before', `${before.toFixed(1)} ms`),
    ...(targets.firstSecondMs === undefined
      ? [toSee('p99 in the first second: more by', `${(first - before).toFixed(1)} ms`)]
      : [atMost('p99 in the first second: more by', first - before, targets.firstSecondMs, 'ms')]),
    atMost('p99 after it: more by', later - before, 5, 'ms'),
    ...(targets.changesMax === undefined
      ? [toSee('changes of the breaker', String(changes))]
      : [atMost('changes of the breaker', changes, targets.changesMax, '')]),
  ];
  return { figures, series: { PostService: records } };
}

const RATE = 300;
const WARM_UP_SECONDS = 3;
