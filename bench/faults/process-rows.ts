import { setTimeout as delay } from 'node:timers/promises';
import { atMost, between, codesOf, type Figure, none, successes, tookAt, toSee } from './figures.ts';
import { WriteLedger } from './ledger.ts';
import { type LoadOptions, runLoad } from './load.ts';
import { startPosts } from './posts.ts';
import type { FaultRow, RowResult, RunLength } from './row.ts';
import { startOurs } from './subject.ts';

/** Faults of the process itself. */
export const PROCESS_ROWS: readonly FaultRow[] = [
  { id: 'R15', fault: 'SIGKILL, restart', run: killAndRestart },
  { id: 'R16', fault: 'event loop blocked for 500 ms', run: blockTheLoop },
];

async function killAndRestart(length: RunLength): Promise<RowResult> {
  await using parts = new AsyncDisposableStack();
  const { postgres, ids } = parts.use(await startPosts());
  const settings = { DATABASE_URL: postgres.url };
  let subject = parts.use(await startOurs(settings));
  const ledger = new WriteLedger();
  const load: Omit<LoadOptions, 'seconds'> = { url: () => subject.url, rate: 300, ids, ledger };
  let readyMs = 0;
  let restart: Promise<void> | undefined;
  const records = await runLoad({
    ...load,
    seconds: length.total,
    onStart: () => {
      restart = (async () => {
        await delay(length.faultAt * 1000);
        process.kill(subject.pid, 'SIGKILL');
        const startedAt = performance.now();
        subject = parts.use(await startOurs(settings));
        readyMs = performance.now() - startedAt;
      })();
    },
  });
  await restart;
  const { acknowledged, lost, twice } = await ledger.compare(postgres.url);
  const figures: Figure[] = [
    none(`of ${acknowledged} acknowledged writes lost`, lost),
    none('done twice', twice),
    atMost('from the start until ready', readyMs / 1000, 1, 's'),
    toSee('calls', codesOf(records)),
  ];
  return { figures, series: { PostService: records } };
}

/** The whole process is stopped, which to its callers is the same as a loop that is blocked. */
async function blockTheLoop(length: RunLength): Promise<RowResult> {
  await using parts = new AsyncDisposableStack();
  const { postgres, ids } = parts.use(await startPosts());
  const subject = parts.use(await startOurs({ DATABASE_URL: postgres.url }));
  const ledger = new WriteLedger();
  const load: Omit<LoadOptions, 'seconds'> = { url: () => subject.url, rate: 300, ids, ledger };
  await runLoad({ ...load, seconds: 3, seed: 2 });
  let blockedMs = 0;
  let fault: Promise<void> | undefined;
  const records = await runLoad({
    ...load,
    seconds: length.faultAt + 5,
    onStart: startedAt => {
      fault = (async () => {
        await delay(length.faultAt * 1000);
        blockedMs = performance.now() - startedAt;
        process.kill(subject.pid, 'SIGSTOP');
        await delay(500);
        process.kill(subject.pid, 'SIGCONT');
      })();
    },
  });
  await fault;
  const before = tookAt(between(records, 0, blockedMs), 0.99);
  const recoveredAt = recoveryMs(records, blockedMs + 500, Math.max(before * 2, 20));
  const live = await fetch(`${subject.adminUrl}/livez`);
  const after = between(records, blockedMs + 1500, Number.POSITIVE_INFINITY);
  const figures: Figure[] = [
    toSee('calls that were due meanwhile', codesOf(between(records, blockedMs, blockedMs + 500))),
    atMost('from its end until calls take as long as before', (recoveredAt - blockedMs - 500) / 1000, 1, 's'),
    none('failures a second after it, in percent', 100 - successes(after)),
    { name: '/livez', value: String(live.status), target: '200', isMet: live.status === 200 },
  ];
  return { figures, series: { PostService: records } };
}

/** When 100 ms of calls took as long as that at most, nine in ten of them. */
function recoveryMs(records: Parameters<typeof between>[0], fromMs: number, normalMs: number): number {
  for (let at = fromMs; at < fromMs + 5000; at += 50) {
    const calls = between(records, at, at + 100);
    if (calls.length > 0 && tookAt(calls, 0.9) <= normalMs) return at;
  }
  return Number.POSITIVE_INFINITY;
}
