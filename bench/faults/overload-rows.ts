import { setTimeout as delay } from 'node:timers/promises';
import { startTcpProxy } from '#test/support/tcp-proxy.ts';
import { atLeast, atMost, codesOf, type Figure, tookAt, toSee } from './figures.ts';
import { type CallKind, type CallRecord, WriteLedger } from './ledger.ts';
import { runLoad } from './load.ts';
import { startPosts } from './posts.ts';
import type { FaultRow, RowResult } from './row.ts';
import { startOurs } from './subject.ts';

/** More load than the service can take. */
export const OVERLOAD_ROWS: readonly FaultRow[] = [
  { id: 'R22', fault: 'overload, from 0.5 to 4 times what can be served', run: overload },
];

async function overload(): Promise<RowResult> {
  await using parts = new AsyncDisposableStack();
  const { postgres, ids } = parts.use(await startPosts());
  // Without a cache, four connections to a database some milliseconds away limit the capacity. If the two processors were the limit, the callers and
  // Postgres would be overloaded first, since they share them.
  const { hostname: host, port } = new URL(postgres.url);
  const proxy = parts.use(await startTcpProxy({ host, port: Number(port) }));
  proxy.set({ latencyMs: 5 });
  const subject = parts.use(
    await startOurs({
      ...{ DATABASE_URL: proxy.through(postgres.url), DATABASE_POOL_MAX: '4', DATABASE_LANES: '0' },
      ...{ CACHE_NEAR_BYTES: '0B', CONNECTIONS_PER_ADDRESS: '0' },
    }),
  );
  const ledger = new WriteLedger();
  const load = { url: () => subject.url, ids, ledger, mix: MIX };
  const offered: { rate: number; records: CallRecord[] }[] = [];
  await runLoad({ ...load, rate: 100, seconds: 3 });
  // Doubles the load until the number of successes stops growing.
  let capacity = 0;
  for (let rate = 150; ; rate *= 1.5) {
    const records = await runLoad({ ...load, rate, seconds: STEP_SECONDS });
    const good = goodput(records);
    if (good < capacity * 1.05 || good < rate * 0.7) {
      capacity = Math.max(capacity, good);
      break;
    }
    capacity = Math.max(capacity, good);
  }
  for (const times of [0.5, 1, 2, 4]) {
    // Lets the effects of the last step pass.
    await delay(2000);
    const rate = capacity * times;
    offered.push({ rate, records: await runLoad({ ...load, rate, seconds: STEP_SECONDS * 2 }) });
  }
  const goods = offered.map(({ records }) => goodput(records));
  const peak = Math.max(capacity, ...goods);
  const [unloaded, full, , most] = offered;
  const admitted = (records: readonly CallRecord[] = []) => records.filter(({ code }) => code === 'ok');
  const figures: Figure[] = [
    toSee('served at most, a second', peak.toFixed(0)),
    ...offered.map(({ rate, records }, n) =>
      toSee(
        `offered ${rate.toFixed(0)} a second: served`,
        `${goods[n]?.toFixed(0)}, p99 ${tookAt(admitted(records), 0.99).toFixed(0)} ms; ${codesOf(records)}`,
      ),
    ),
    ...MIX.map(([kind]) => {
      const ofKind = admitted(most?.records).filter(record => record.kind === kind);
      const figure = [0.5, 0.9, 0.99].map(share => tookAt(ofKind, share).toFixed(0)).join(', ');
      return toSee(`admitted at 4 times, ${kind}: p50, p90, p99`, `${figure} ms of ${ofKind.length}`);
    }),
    atLeast('goodput at 4 times, as a share of the peak', (100 * (goods[3] ?? 0)) / peak, 90, '%'),
    atMost('p99 of what is admitted at 1 times', tookAt(admitted(full?.records), 0.99), 100, 'ms'),
    atMost(
      'p99 of what is admitted at 4 times, as a share of that at 0.5',
      tookAt(admitted(most?.records), 0.99) / tookAt(admitted(unloaded?.records), 0.99),
      3,
      '',
    ),
  ];
  return { figures, series: { 'at 4 times': most?.records ?? [] } };
}

/** Successful calls a second, within their deadlines. */
function goodput(records: readonly CallRecord[]): number {
  const lastMs = Math.max(...records.map(({ atMs }) => atMs));
  return (1000 * records.filter(({ code, tookMs }) => code === 'ok' && tookMs <= 1000).length) / Math.max(lastMs, 1);
}

const STEP_SECONDS = 4;
const MIX: readonly (readonly [CallKind, number])[] = [
  ['list', 0.4],
  ['cold', 0.5],
  ['write', 0.1],
];
