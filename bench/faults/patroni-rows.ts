import { setTimeout as delay } from 'node:timers/promises';
import { migrateToLatest } from '#src/db/migrations/migrate.ts';
import { between, codesOf, type Figure, none, successes, toSee } from './figures.ts';
import { type CallRecord, WriteLedger } from './ledger.ts';
import { runLoad } from './load.ts';
import { type PatroniCluster, startPatroni } from './patroni.ts';
import { insertPosts } from './posts.ts';
import type { FaultRow, RowResult } from './row.ts';
import { startOurs } from './subject.ts';

/** Fail-over of a cluster that Patroni manages. It takes minutes, and runs only if it is named. */
export const PATRONI_ROW: FaultRow = {
  id: 'R30',
  fault: 'fail-over with Patroni: kill -9, SIGSTOP, switchover',
  run: async () => {
    const figures: Figure[] = [];
    const series: Record<string, readonly CallRecord[]> = {};
    for (const isSynchronous of [true, false]) {
      const mode = isSynchronous ? 'synchronous' : 'asynchronous';
      const cluster = await startPatroni(isSynchronous).catch((error: Error) => error);
      if (cluster instanceof Error) return { figures: [toSee('not run', cluster.message)] };
      const result = await failOver(cluster, mode);
      figures.push(...result.figures);
      Object.assign(series, result.series);
    }
    return { figures, series };
  },
};

/** Breaks the leader. Resolves when the cluster is repaired. */
type Break = (cluster: PatroniCluster) => Promise<void>;

const FAULTS: Readonly<Record<string, Break>> = {
  'kill -9': async cluster => {
    const leader = await cluster.leader();
    await leader.kill();
    await delay(MEND_AFTER_MS);
    leader.restart();
  },
  SIGSTOP: async cluster => {
    const leader = await cluster.leader();
    await leader.freeze();
    await delay(MEND_AFTER_MS);
    await leader.thaw();
  },
  switchover: cluster => cluster.switchover(),
};

async function failOver(started: PatroniCluster, mode: string): Promise<RowResult> {
  await using cluster = started;
  await migrateToLatest(cluster.url);
  const ids = await insertPosts((await cluster.leader()).url);
  await using subject = await startOurs({ DATABASE_URL: cluster.url });
  const figures: Figure[] = [];
  const series: Record<string, readonly CallRecord[]> = {};
  for (const [fault, breakIt] of Object.entries(FAULTS)) {
    await cluster.untilHealthy();
    const before = await cluster.leader();
    const ledger = new WriteLedger();
    let broken: Promise<void> | undefined;
    const records = await runLoad({
      ...{ url: () => subject.url, rate: RATE, ids, ledger, seconds: SECONDS },
      onStart: () => {
        broken = delay(FAULT_AT_MS).then(() => breakIt(cluster));
      },
    });
    await broken;
    await cluster.untilHealthy();
    const leader = await cluster.leader();
    const { lost, twice, acknowledged } = await ledger.compare(leader.url);
    const name = `${fault}, ${mode}`;
    const after = between(records, FAULT_AT_MS, SECONDS * 1000);
    const [hot, cold, writes] = (['hot', 'cold', 'write'] as const).map(kind =>
      after.filter(call => call.kind === kind),
    );
    const wrong = after.filter(({ code }) => !ALLOWED.has(code));
    series[name] = records;
    const promoted = `${before.name} → ${leader.name}`;
    figures.push(
      { name: `${name}: the leader`, value: promoted, target: 'another one', isMet: leader.name !== before.name },
      mode === 'synchronous'
        ? none(`${name}: acknowledged writes lost`, lost)
        : toSee(`${name}: acknowledged writes lost`, `${lost} of ${acknowledged}`),
      none(`${name}: writes done twice`, twice),
      toSee(`${name}: longest time without a write that went well`, `${longestGapS(writes ?? [])} s`),
      toSee(`${name}: the same for reads of the database`, `${longestGapS((cold ?? []).filter(c => !c.isStale))} s`),
      toSee(`${name}: reads of the hot set that went well`, `${successes(hot ?? []).toFixed(1)} %`),
      none(`${name}: calls with a code that says nothing of an outage`, wrong.length),
      toSee(`${name}: calls since then`, codesOf(after)),
      {
        name: `${name}: the process`,
        value: subject.isAlive() ? 'lives' : 'died',
        target: 'lives',
        isMet: subject.isAlive(),
      },
    );
  }
  return { figures, series };
}

/** The longest time between two successes, in seconds. */
function longestGapS(records: readonly CallRecord[]): string {
  const ends = records.filter(({ code }) => code === 'ok').map(({ atMs, tookMs }) => atMs + tookMs);
  const all = [FAULT_AT_MS, ...ends.sort((a, b) => a - b), SECONDS * 1000];
  return (Math.max(...all.slice(1).map((at, n) => at - (all[n] ?? at))) / 1000).toFixed(1);
}

const ALLOWED = new Set(['ok', 'unavailable', 'deadline_exceeded']);
const RATE = 100;
const SECONDS = 60;
const FAULT_AT_MS = 10_000;
/** Patroni promotes another server after little more than 20 s (ttl). */
const MEND_AFTER_MS = 35_000;
