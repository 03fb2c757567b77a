import { setTimeout as delay } from 'node:timers/promises';
import { connectLineClient } from '#test/support/line-client.ts';
import { startRedis, type TestRedis } from '#test/support/redis.ts';
import { startClusterRedis } from '#test/support/redis-cluster.ts';
import { startSentinelRedis } from '#test/support/redis-sentinel.ts';
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
    run: length =>
      run(
        length,
        behindProxy(({ redis }) => redis.stop()),
        { firstSecondMs: undefined },
      ),
  },
  {
    id: 'R7.1',
    fault: "Redis' master killed, and sentinels make its replica the master",
    run: length => run(length, startSentinels, { firstSecondMs: undefined }),
  },
  {
    id: 'R7.2',
    fault: 'one of three masters of a Redis cluster killed, which has a replica',
    run: length => run(length, startCluster, { firstSecondMs: undefined }),
  },
  {
    id: 'R7.3',
    fault: 'Redis emptied (FLUSHALL) each 0.5 s',
    run: length => run(length, startFlushed, { firstSecondMs: undefined }),
  },
  {
    id: 'R8',
    fault: 'Redis black-holed',
    run: length =>
      run(
        length,
        behindProxy(async ({ proxy }) => proxy.set({ blackHole: true })),
        { firstSecondMs: 50 },
      ),
  },
  {
    id: 'R9',
    fault: 'Redis flapping, each 0.5 s',
    run: length =>
      run(
        length,
        behindProxy(async ({ proxy, until }) => {
          for (let isHole = true; performance.now() < until; isHole = !isHole) {
            proxy.set({ blackHole: isHole });
            await delay(500);
          }
        }),
        { firstSecondMs: 50, changesMax: 6 },
      ),
  },
];

/** A Redis that is about to fail. */
interface FailingRedis extends AsyncDisposable {
  readonly url: string;
  /** @param until `performance.now()` when the fault is to be over. */
  readonly breakIt: (until: number) => Promise<unknown>;
  readonly heal: () => void;
}

function behindProxy(
  breakIt: (uses: { readonly redis: TestRedis; readonly proxy: TcpProxy; readonly until: number }) => Promise<void>,
): () => Promise<FailingRedis> {
  return async () => {
    const parts = new AsyncDisposableStack();
    const redis = parts.use(await startRedis());
    const { hostname: host, port } = new URL(redis.url);
    const proxy = parts.use(await startTcpProxy({ host, port: Number(port) }));
    return {
      url: proxy.through(redis.url),
      breakIt: until => breakIt({ redis, proxy, until }),
      heal: () => proxy.heal(),
      [Symbol.asyncDispose]: () => parts.disposeAsync(),
    };
  };
}

async function startSentinels(): Promise<FailingRedis> {
  const redis = await startSentinelRedis();
  return { ...redis, breakIt: () => redis.master.stop(), heal: () => {} };
}

async function startCluster(): Promise<FailingRedis> {
  const redis = await startClusterRedis();
  return { ...redis, breakIt: async () => redis.masters[0]?.stop(), heal: () => {} };
}

async function startFlushed(): Promise<FailingRedis> {
  const redis = await startRedis();
  return {
    ...redis,
    breakIt: async until => {
      using client = await connectLineClient(Number(new URL(redis.url).port));
      while (performance.now() < until) {
        client.send('FLUSHALL\r\n');
        await delay(500);
      }
    },
    heal: () => {},
  };
}

async function run(
  length: RunLength,
  start: () => Promise<FailingRedis>,
  targets: { readonly firstSecondMs: number | undefined; readonly changesMax?: number },
): Promise<RowResult> {
  await using parts = new AsyncDisposableStack();
  const { postgres, ids } = parts.use(await startPosts());
  const redis = parts.use(await start());
  // A small cache in the process, so that most reads come to Redis.
  const settings = { DATABASE_URL: postgres.url, REDIS_URL: redis.url, CACHE_NEAR_BYTES: '64KiB' };
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
        await redis.breakIt(startedAt + (length.faultAt + length.faultFor) * 1000);
        await delay(Math.max(0, startedAt + (length.faultAt + length.faultFor) * 1000 - performance.now()));
        redis.heal();
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
