import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { PrivatePostgres } from '#test/support/private-postgres.ts';
import { startTcpProxy } from '#test/support/tcp-proxy.ts';
import { quartiles } from '../quartiles.ts';
import { atLeast, atMost, beside, between, codesOf, type Figure, none, successes, tookAt, toSee } from './figures.ts';
import { type CallRecord, type LedgerResult, WriteLedger } from './ledger.ts';
import { type LoadOptions, runLoad } from './load.ts';
import { startPosts } from './posts.ts';
import type { FaultRow, RowResult, RunLength } from './row.ts';
import { type Subject, startBare, startOurs } from './subject.ts';
import { type Sample, watchMetric } from './watch-metrics.ts';

/** Faults of the primary, for the service and then for connect-node with pg. */
export const POSTGRES_ROWS: readonly FaultRow[] = [
  { id: 'R1', fault: 'Postgres stopped at once', run: length => compare(length, stopPostgres, outageFigures) },
  { id: 'R2', fault: 'Postgres frozen', run: length => compare(length, freezePostgres, outageFigures) },
  { id: 'R3', fault: 'Postgres answers 500 ms late', run: compareLateness },
  { id: 'R4', fault: 'every backend ended each second', run: length => compare(length, endBackends, retryFigures) },
  { id: 'R6', fault: 'a hot row locked', run: length => compare(length, lockRow, lockFigures) },
];

/** Breaks Postgres now. Resolves with a function that repairs it. */
type Break = (uses: BreakUses) => Promise<() => Promise<void>>;

interface BreakUses {
  readonly postgres: PrivatePostgres;
  readonly proxy: { set(faults: { latencyMs: number }): void; heal(): void };
  readonly ids: readonly string[];
}

const stopPostgres: Break = async ({ postgres }) => {
  await postgres.stopImmediately();
  return () => postgres.start();
};

const freezePostgres: Break = async ({ postgres }) => {
  await postgres.freeze();
  return () => postgres.thaw();
};

const slowPostgres: Break = async ({ proxy }) => {
  // In each direction.
  proxy.set({ latencyMs: 250 });
  return async () => proxy.heal();
};

const endBackends: Break = async ({ postgres }) => {
  const ending = new AbortController();
  const breaking = (async () => {
    while (!ending.signal.aborted) {
      await postgres.terminateBackends();
      await delay(1000, undefined, { signal: ending.signal }).catch(() => {});
    }
  })();
  return async () => {
    ending.abort();
    await breaking;
  };
};

const lockRow: Break = async ({ postgres, ids }) => {
  const client = new pg.Client(postgres.url);
  await client.connect();
  await client.query('begin');
  await client.query('select from posts where id = $1 for update', [ids[0]]);
  return async () => {
    await client.query('rollback');
    await client.end();
  };
};

/** The observations of one subject. */
interface Observation {
  readonly records: readonly CallRecord[];
  readonly ledger: LedgerResult;
  readonly isAlive: boolean;
  /** State of the primary's circuit breaker; 2: open. */
  readonly breaker: readonly Sample[];
  /** The limit of concurrent reads. */
  readonly limit: readonly Sample[];
  /** The beginning and end of the fault, in milliseconds since the load began. */
  readonly faultMs: number;
  readonly mendedMs: number;
  readonly startedAt: number;
  /** Updates of the hot post while it was locked. */
  readonly blocked: readonly { readonly code: string; readonly tookMs: number }[];
  /** Concurrent reads of the hot set from a control process without the fault. They show the noise of the machine. */
  readonly control: readonly CallRecord[];
}

type FiguresOf = (seen: Observation, length: RunLength) => Figure[];

async function compare(length: RunLength, breakIt: Break, figuresOf: FiguresOf): Promise<RowResult> {
  const also = { updatesHot: breakIt === lockRow, hasControl: false };
  const ours = await observe(length, breakIt, url => startOurs({ DATABASE_URL: url }), also);
  const bare = await observe(length, breakIt, startBare, { ...also, updatesHot: false });
  return {
    figures: beside(figuresOf(ours, length), figuresOf(bare, length)),
    series: { PostService: ours.records, 'connect-node and pg': bare.records },
  };
}

/** A p99 of some hundred calls depends on a few of them, so several rounds are made and their median counts. */
async function compareLateness(length: RunLength): Promise<RowResult> {
  const also = { updatesHot: false, hasControl: true };
  const ours: Observation[] = [];
  for (let round = 0; round < LATENESS_ROUNDS; round++)
    ours.push(await observe(length, slowPostgres, url => startOurs({ DATABASE_URL: url }), also));
  const bare = await observe(length, slowPostgres, startBare, also);
  return {
    figures: beside(latenessFigures(ours), latenessFigures([bare])),
    series: { PostService: ours[0]?.records ?? [], 'connect-node and pg': bare.records },
  };
}

async function observe(
  length: RunLength,
  breakIt: Break,
  start: (databaseUrl: string) => Promise<Subject>,
  { updatesHot, hasControl }: { readonly updatesHot: boolean; readonly hasControl: boolean },
): Promise<Observation> {
  await using parts = new AsyncDisposableStack();
  const { postgres, ids } = parts.use(await startPosts());
  const { hostname: host, port } = new URL(postgres.url);
  const proxy = parts.use(await startTcpProxy({ host, port: Number(port) }));
  const subject = parts.use(await start(proxy.through(postgres.url)));
  const ledger = new WriteLedger();
  const load: Omit<LoadOptions, 'seconds'> = { url: () => subject.url, rate: RATE, ids, ledger };
  const control = hasControl ? parts.use(await start(postgres.url)) : undefined;
  // Warms both up alike: connections, compiled code, hot posts in the cache.
  const warmUp = { ...load, seconds: hasControl ? CONTROL_WARM_UP_SECONDS : WARM_UP_SECONDS, seed: 2 };
  await Promise.all([runLoad(warmUp), control && runLoad({ ...warmUp, url: () => control.url, mix: [['hot', 1]] })]);
  const controlLoad = async (): Promise<CallRecord[]> =>
    control === undefined
      ? []
      : runLoad({ ...load, url: () => control.url, seconds: length.total, mix: [['hot', 1]], rate: CONTROL_RATE });
  const breaker: Sample[] = [];
  const watch = subject.adminUrl && watchMetric(subject.adminUrl, 'circuit_breaker_state{dependency="primary"}');
  if (watch) parts.use(watch);
  const limitWatch = subject.adminUrl && watchMetric(subject.adminUrl, 'admission_limit{where="primary-reads"}', 100);
  if (limitWatch) parts.use(limitWatch);
  const times = { startedAt: 0, faultMs: 0, mendedMs: 0 };
  const blocked: { code: string; tookMs: number }[] = [];
  let fault: Promise<void> | undefined;
  const controlling = controlLoad();
  const records = await runLoad({
    ...load,
    seconds: length.total,
    onStart: startedAt => {
      times.startedAt = startedAt;
      fault = (async () => {
        await delay(length.faultAt * 1000);
        times.faultMs = performance.now() - startedAt;
        const mend = await breakIt({ postgres, proxy, ids });
        const until = startedAt + (length.faultAt + length.faultFor) * 1000;
        while (performance.now() < until) {
          if (updatesHot) void updateHot(subject.url, ids[0] ?? '').then(ended => blocked.push(ended));
          await delay(Math.min(500, until - performance.now()));
        }
        await mend();
        times.mendedMs = performance.now() - startedAt;
      })();
    },
  });
  await fault;
  const compared = await ledger.compare(postgres.url);
  breaker.push(...(watch ? watch.samples : []));
  const limit = limitWatch ? limitWatch.samples : [];
  return {
    records,
    ledger: compared,
    isAlive: subject.isAlive(),
    breaker,
    limit,
    blocked,
    control: await controlling,
    ...times,
  };
}

async function updateHot(url: string, id: string): Promise<{ code: string; tookMs: number }> {
  const startedAt = performance.now();
  const body = JSON.stringify({ post: { id, title: 'Blocked' }, updateMask: 'title' });
  const headers = { 'content-type': 'application/json', 'connect-timeout-ms': '10000' };
  const response = await fetch(`${url}/blog.v1.PostService/UpdatePost`, { method: 'POST', headers, body });
  const { code = 'ok' } = (await response.json()) as { code?: string };
  return { code, tookMs: performance.now() - startedAt };
}

function outageFigures({ records, ledger, isAlive, breaker, ...times }: Observation): Figure[] {
  const { startedAt, faultMs, mendedMs } = times;
  const opened = breaker.find(({ at, value }) => at - startedAt >= faultMs && value === 2);
  const openedMs = opened === undefined ? Number.POSITIVE_INFINITY : opened.at - startedAt - faultMs;
  const during = between(records, faultMs, mendedMs);
  const hot = during.filter(({ kind }) => kind === 'hot');
  // Without a breaker, from the fault on.
  const restFromMs = faultMs + (breaker.length > 0 ? openedMs : 0);
  const rest = between(records, restFromMs, mendedMs).filter(({ kind }) => kind !== 'hot');
  // Excludes the moments of stopping and starting, in which either answer is right.
  const wrongCodes = rest.filter(({ code }) => code !== 'unavailable' && code !== 'ok' && code !== 'deadline_exceeded');
  const good = records.find(({ kind, code, atMs }) => kind === 'write' && code === 'ok' && atMs >= mendedMs);
  const recoveryMs = good === undefined ? Number.POSITIVE_INFINITY : good.atMs + good.tookMs - mendedMs;
  const overruns = records.map(({ tookMs }) => tookMs - DEADLINE_MS);
  return [
    none('acknowledged writes lost', ledger.lost),
    none('writes done twice', ledger.twice),
    atLeast('reads of the hot set meanwhile', successes(hot), 100, '%'),
    toSee('of them marked as stale', String(hot.filter(({ isStale }) => isStale).length)),
    atMost('until the breaker is open', openedMs / 1000, 1, 's'),
    none('other calls, from then on, with another code than UNAVAILABLE', wrongCodes.length),
    atMost('their p99', tookAt(rest, 0.99), 50, 'ms'),
    toSee('they', codesOf(rest)),
    atMost('from its return until the first good write', recoveryMs / 1000, 2, 's'),
    atMost('a call outlives its deadline by', Math.max(0, ...overruns), 50, 'ms'),
    { name: 'the process', value: isAlive ? 'lives' : 'died', target: 'lives', isMet: isAlive },
  ];
}

function latenessFigures(rounds: readonly Observation[]): Figure[] {
  const hot = rounds.flatMap(round => between(hotOf(round), round.faultMs, round.mendedMs));
  const others = rounds.flatMap(({ records, faultMs, mendedMs }) =>
    between(records, faultMs, mendedMs).filter(({ kind }) => kind !== 'hot'),
  );
  const shares = rounds.map(round => shareOfBefore(hotOf(round), round));
  const ofControl = rounds.map(round => shareOfBefore(round.control, round));
  const p99 = rounds.map(round => tookAt(between(hotOf(round), round.faultMs, round.mendedMs), 0.99));
  return [
    atMost('until the breaker, or the limit, acts', Math.max(...rounds.map(secondsUntilActed)), 3, 's'),
    atLeast('reads of the hot set meanwhile', successes(hot), 100, '%'),
    atMost(
      "their p99, as a share of before's, by that of the control",
      quartiles(shares.map((share, n) => share / (ofControl[n] ?? 1))).median,
      1.2,
      '',
    ),
    toSee("their p99, as a share of before's", format(shares)),
    toSee('the same of the control, which the fault does not meet', format(ofControl)),
    toSee('their p99, in milliseconds', format(p99)),
    toSee('the others meanwhile', codesOf(others)),
  ];
}

function hotOf({ records }: Observation): CallRecord[] {
  return records.filter(({ kind }) => kind === 'hot');
}

/** The p99 of reads during the fault, divided by the p99 before it. */
function shareOfBefore(reads: readonly CallRecord[], { faultMs, mendedMs }: Observation): number {
  return tookAt(between(reads, faultMs, mendedMs), 0.99) / tookAt(between(reads, 0, faultMs), 0.99);
}

function secondsUntilActed({ breaker, limit, startedAt, faultMs }: Observation): number {
  const since = (samples: readonly Sample[]) => samples.filter(({ at }) => at - startedAt >= faultMs);
  const before = limit.filter(({ at }) => at - startedAt < faultMs).at(-1)?.value ?? 0;
  const acted = [
    since(breaker).find(({ value }) => value === 2),
    since(limit).find(({ value }) => value <= before / 2),
  ].map(sample => (sample === undefined ? Number.POSITIVE_INFINITY : (sample.at - startedAt - faultMs) / 1000));
  return Math.min(...acted);
}

function format(values: readonly number[]): string {
  return values.map(value => value.toFixed(2)).join(', ');
}

function retryFigures({ records, ledger, isAlive, faultMs, mendedMs }: Observation): Figure[] {
  const during = between(records, faultMs, mendedMs);
  return [
    atLeast('successes meanwhile', successes(during), 99, '%'),
    none('writes done twice', ledger.twice),
    none('acknowledged writes lost', ledger.lost),
    { name: 'the process', value: isAlive ? 'lives' : 'died', target: 'lives', isMet: isAlive },
    toSee('calls', codesOf(during)),
  ];
}

function lockFigures({ records, faultMs, mendedMs, blocked }: Observation): Figure[] {
  const during = between(records, faultMs, mendedMs);
  const ended = blocked.filter(({ code }) => code === 'aborted');
  const first = ended.filter(({ tookMs }) => tookMs < 5000);
  const others = [
    atLeast('other calls meanwhile', successes(during), 100, '%'),
    atMost(
      'their p99, as a share of before’s',
      tookAt(during, 0.99) / tookAt(between(records, 0, faultMs), 0.99),
      1.5,
      '',
    ),
  ];
  if (blocked.length === 0) return others;
  return [
    ...others,
    atLeast('blocked writes that ended as ABORTED', first.length, 1, ''),
    atMost(
      'the longest of them',
      Math.max(0, ...ended.map(({ tookMs }) => tookMs / 1000)),
      2 * LOCK_TIMEOUT_S + 0.3,
      's',
    ),
  ];
}

/** About half of what two cores can do, with Postgres and the callers on them. */
const RATE = 300;
const CONTROL_RATE = 100;
const WARM_UP_SECONDS = 3;
const CONTROL_WARM_UP_SECONDS = 10;
const DEADLINE_MS = 1000;
/** For each lock: a caller behind a waiter waits for the row's queue first, and then for the transaction. */
const LOCK_TIMEOUT_S = 2;
const LATENESS_ROUNDS = 5;
