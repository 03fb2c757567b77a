import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { createPostClient } from '#client/node.ts';
import { quartiles } from '../quartiles.ts';
import { atLeast, atMost, type Figure, none, successes, tookAt, toSee } from './figures.ts';
import { type CallRecord, WriteLedger } from './ledger.ts';
import { runLoad } from './load.ts';
import { openRawWatch, type RawWatch } from './many-watchers.ts';
import { startPosts } from './posts.ts';
import type { FaultRow, RowResult } from './row.ts';
import { startOurs } from './subject.ts';
import { readMetric } from './watch-metrics.ts';

/** Watchers who come back, from far behind or all at once. */
export const RESUME_ROWS: readonly FaultRow[] = [
  {
    id: 'R32',
    fault: '20 watches resume over 1,000,000 changes, with filters that match nothing',
    run: resumeFarBehind,
  },
  { id: 'R33', fault: '3,000 watchers reconnect at once after a restart', run: reconnectTogether },
];

async function resumeFarBehind(): Promise<RowResult> {
  await using parts = new AsyncDisposableStack();
  const { postgres, ids } = parts.use(await startPosts());
  const subject = parts.use(await startOurs({ DATABASE_URL: postgres.url, CONNECTIONS_PER_ADDRESS: '0' }));
  const client = createPostClient(subject.url, { attempts: 1 });
  const tokens = new Map<number, string>();
  for (const [behind, changes] of STEPS) {
    tokens.set(behind, await tokenOf(subject.url));
    await addChanges(postgres.url, changes);
    await untilHeard(subject.adminUrl ?? '');
    console.log(`${changes} changes were made`);
  }

  const load = { url: () => subject.url, ids, ledger: new WriteLedger() };
  await runLoad({ ...load, rate: 200, seconds: WARM_SECONDS });
  let rate = 200;
  for (;;) {
    const records = await runLoad({ ...load, rate: rate * 1.5, seconds: STEP_SECONDS });
    if (successes(records) < 100 || tookAt(records, 0.99) > SLOW_MS || rate > RATE_MAX) break;
    rate *= 1.5;
  }
  const half = { ...load, rate: rate / 2 };
  // Until nothing is refused any more for the last step.
  await delay(6000);

  // There is nobody beside it.
  const took = new Map<number, number>();
  for (const [behind, resumeToken] of tokens) {
    const times: number[] = [];
    for (let n = 0; n < RESUMES; n++) {
      await using watch = openRawWatch(subject.url, { resumeToken, tag: `alone-${n}` });
      await watch.first;
      const startedAt = performance.now();
      await client.createPost({ post: { title: 'Marker', tags: [`alone-${n}`] } });
      await watch.changed;
      times.push(performance.now() - startedAt);
    }
    took.set(behind, quartiles(times).median);
  }
  const perChange = (behind: number) => (1000 * (took.get(behind) ?? Number.NaN)) / behind;

  const rounds: { before: CallRecord[]; during: CallRecord[]; caughtUpMs: number; watches: RawWatch[] }[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const before = await runLoad({ ...half, seconds: PHASE_SECONDS, seed: 2 * round + 1 });
    const tags = Array.from({ length: WATCHES }, (_, n) => `marker-${round}-${n}`);
    const resumeToken = tokens.get(1_000_000) ?? '';
    const openedAt = performance.now();
    const watches = tags.map(tag => parts.use(openRawWatch(subject.url, { resumeToken, tag })));
    await Promise.all(watches.map(({ first }) => first));
    await client.createPost({ post: { title: 'Marker', tags } });
    let caughtUpMs = Number.POSITIVE_INFINITY;
    const caughtUp = Promise.all(watches.map(({ changed }) => changed)).then(() => {
      caughtUpMs = performance.now() - openedAt;
    });
    const during: CallRecord[] = [];
    // For as long as they catch up.
    for (let seed = 2 * round + 2; caughtUpMs === Number.POSITIVE_INFINITY && during.length < CALLS_MAX; seed++)
      during.push(...(await runLoad({ ...half, seconds: PHASE_SECONDS, seed })));
    await caughtUp;
    rounds.push({ before, during, caughtUpMs, watches });
    await Promise.all(watches.map(watch => watch[Symbol.asyncDispose]()));
  }
  const before = rounds.flatMap(round => round.before);
  const during = rounds.flatMap(round => round.during);
  const [p99Before, p99During] = [tookAt(before, 0.99), tookAt(during, 0.99)];
  const figures: Figure[] = [
    toSee('half load, calls a second', (rate / 2).toFixed(0)),
    ...[...took].map(([behind, ms]) =>
      toSee(`one resume over ${behind} changes`, `${ms.toFixed(0)} ms, ${perChange(behind).toFixed(1)} us a change`),
    ),
    atMost('a change of 1,000,000, as a share of one of 100,000', perChange(1_000_000) / perChange(100_000), 1.5, ''),
    toSee(
      '20 resumes over 1,000,000 changes',
      rounds.map(({ caughtUpMs }) => `${(caughtUpMs / 1000).toFixed(1)} s`).join(', '),
    ),
    atLeast("others' calls that went well meanwhile", successes(during), 100, '%'),
    toSee(
      "others' p50, p99 before and meanwhile",
      `${tookAt(before, 0.5).toFixed(1)}, ${p99Before.toFixed(1)} and ${tookAt(during, 0.5).toFixed(1)}, ${p99During.toFixed(1)} ms`,
    ),
    atMost("others' p99, as a share of that before", p99During / p99Before, 1.2, ''),
  ];
  return { figures, series: { before, meanwhile: during } };
}

async function reconnectTogether(): Promise<RowResult> {
  await using parts = new AsyncDisposableStack();
  const { postgres, ids } = parts.use(await startPosts());
  const settings = { DATABASE_URL: postgres.url, CONNECTIONS_PER_ADDRESS: '0', SHUTDOWN_GRACE: '2s' };
  const tags = Array.from({ length: 50 }, (_, n) => `tag-${n}`);
  const load = { ids, ledger: new WriteLedger(), rate: 50 };
  // Beside writes, so that watchers stand at many places when it ends.
  let first = await startOurs(settings);
  const requests = Array.from({ length: RECONNECTING }, (_, n) =>
    n % 2 === 0 ? {} : { tag: tags[n % tags.length] ?? '' },
  );
  const { watches, tookMs: startedMs, refused: refusedFirst } = await openAll(first.url, requests);
  await runLoad({ ...load, url: () => first.url, seconds: 5 });
  await first[Symbol.asyncDispose]();
  const tokens = watches.map(({ resumeToken }) => resumeToken);
  await Promise.all(watches.map(watch => watch[Symbol.asyncDispose]()));
  first = parts.use(await startOurs(settings));
  const again = await openAll(
    first.url,
    requests.map((request, n) => ({ ...request, resumeToken: tokens[n] ?? '' })),
  );
  await runLoad({ ...load, url: () => first.url, seconds: 1 });
  await Promise.all(again.watches.map(watch => watch[Symbol.asyncDispose]()));
  const figures: Figure[] = [
    toSee('places at which they stood', String(new Set(tokens).size)),
    none('refused where they began without a token', refusedFirst),
    atMost('all have begun without a token within', startedMs / 1000, 5, 's'),
    none('refused after the restart', again.refused),
    atMost('all are back within', again.tookMs / 1000, 5, 's'),
  ];
  return { figures };
}

async function openAll(url: string, requests: readonly { readonly tag?: string; readonly resumeToken?: string }[]) {
  const startedAt = performance.now();
  const watches = requests.map(request => openRawWatch(url, request));
  const began = await Promise.allSettled(watches.map(({ first }) => first));
  const reasons = began.flatMap(result => (result.status === 'rejected' ? String(result.reason) : []));
  if (reasons.length > 0) console.error(`${reasons.length} refused: ${reasons[0]}`);
  return { watches, tookMs: performance.now() - startedAt, refused: reasons.length };
}

async function tokenOf(url: string): Promise<string> {
  await using watch = openRawWatch(url);
  await watch.first;
  return watch.resumeToken;
}

/** As triggers would write them, in many transactions: what posts become meanwhile costs more than what is measured here. */
async function addChanges(url: string, count: number): Promise<void> {
  const client = new pg.Client(url);
  await client.connect();
  for (let n = 0; n < count; n += 1000) {
    await client.query(
      `insert into post_changes (kind, post_id, slug, title, author, tags, create_time, update_time, revision)
       select 'created', gen_random_uuid(), 'change-' || i, 'A change', 'Author ' || i % 100, '{one,two}', now(), now(), 1
       from generate_series($1::int, $2::int) i`,
      [n, Math.min(n + 1000, count) - 1],
    );
  }
  // As autovacuum does some time later.
  await client.query('vacuum analyze post_changes');
  await client.end();
}

async function untilHeard(adminUrl: string): Promise<void> {
  const since = performance.now();
  for (;;) {
    const askedAt = performance.now();
    const lagMs = 1000 * ((await readMetric(adminUrl, 'feed_lag_seconds')) ?? Number.POSITIVE_INFINITY);
    if (lagMs < askedAt - since) return;
    await delay(100);
  }
}

/** How far behind a token is at the end that is taken before so many changes. */
const STEPS = [
  [1_000_000, 900_000],
  [100_000, 90_000],
  [10_000, 10_000],
] as const;
const WATCHES = 20;
const RECONNECTING = 3000;
const ROUNDS = 1;
const RESUMES = 3;
const WARM_SECONDS = 5;
const STEP_SECONDS = 3;
const PHASE_SECONDS = 5;
const SLOW_MS = 50;
const RATE_MAX = 2000;
const CALLS_MAX = 100_000;
