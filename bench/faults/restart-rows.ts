import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { ConnectError } from '@connectrpc/connect';
import { codeToString } from '@connectrpc/connect/protocol-connect';
import { createPostClient, type PostClient } from '#client/node.ts';
import { followPosts } from '#client/watch.ts';
import { type ServiceProcess, startServiceProcess } from '../service-process.ts';
import { atMost, codesOf, type Figure, none, toSee } from './figures.ts';
import type { CallRecord } from './ledger.ts';
import { startPosts } from './posts.ts';
import type { FaultRow, RowResult, RunLength } from './row.ts';

/** Instances that end on purpose, behind a balancer that looks at /readyz, while callers of all kinds go on. */
export const RESTART_ROWS: readonly FaultRow[] = [
  { id: 'R13', fault: 'SIGTERM under load', run: length => restartUnderLoad(length, 1) },
  { id: 'R14', fault: 'rolling restart of 2 instances, 5 times', run: length => restartUnderLoad(length, 5) },
];

async function restartUnderLoad(length: RunLength, times: number): Promise<RowResult> {
  await using parts = new AsyncDisposableStack();
  const { postgres, ids } = parts.use(await startPosts());
  const settings = {
    ...{ DATABASE_URL: postgres.url, PAGE_TOKEN_SECRET: 'x'.repeat(32) },
    ...{ SHUTDOWN_DELAY: `${BALANCER_LOOKS_EVERY_MS * 3}ms`, SHUTDOWN_GRACE: `${GRACE_MS}ms` },
  };
  const instances: Instance[] = [];
  const startInstance = async () => {
    const instance = createInstance(parts.use(await startServiceProcess(settings)));
    instances.push(instance);
    return instance;
  };
  await startInstance();
  await startInstance();
  const ending = new AbortController();
  const balancer = balance(instances, ending.signal);

  const exits: { code: number | null; tookMs: number }[] = [];
  const records: CallRecord[] = [];
  const changesSeen = new Map<string, number>();
  const lostStreams: string[] = [];
  const placed: Promise<void>[] = [];
  const watching = [0, 1].map(n => {
    const { promise, resolve } = Promise.withResolvers<void>();
    placed.push(promise);
    return watch(instances, n, { seen: changesSeen, lost: lostStreams, placed: resolve }, ending.signal);
  });
  // What is written before a watcher has its place is none of its changes.
  await Promise.all(placed);
  const created: string[] = [];
  let restarted = false;
  const restarting = (async () => {
    await delay(length.faultAt * 1000);
    for (let n = 0; n < times; n++) {
      const [oldest] = instances.filter(({ isEnding }) => !isEnding);
      if (times > 1) await startInstance();
      if (oldest === undefined) return;
      oldest.isEnding = true;
      const startedAt = performance.now();
      oldest.service.signal('SIGTERM');
      exits.push({ code: await oldest.service.ended, tookMs: performance.now() - startedAt });
    }
    await delay(2000);
    restarted = true;
  })();

  const startedAt = performance.now();
  const pending: Promise<void>[] = [];
  for (let n = 0; !restarted; n++) {
    const dueAt = startedAt + (n * 1000) / RATE;
    await delay(Math.max(0, dueAt - performance.now()));
    pending.push(callOnce(instances, n, ids, dueAt, startedAt, records, created));
  }
  await Promise.all(pending);
  await restarting;
  // What was written last is still on its way.
  await delay(1000);
  ending.abort();
  await Promise.all([balancer, ...watching]);

  const failed = records.filter(({ code }) => code !== 'ok');
  const unseen = created.filter(slug => changesSeen.get(slug) !== WATCHERS);
  const figures: Figure[] = [
    none(`of ${records.length} calls over HTTP/1.1, HTTP/2 and gRPC, in equal parts, failed`, failed.length),
    toSee('calls', codesOf(records)),
    none('exits with another code than 0', exits.filter(({ code }) => code !== 0).length),
    atMost(
      'the longest from SIGTERM to the exit',
      Math.max(...exits.map(({ tookMs }) => tookMs)) / 1000,
      GRACE_MS / 1000,
      's',
    ),
    none('streams that ended with an error', lostStreams.length),
    none(`of ${created.length} changes that watchers missed, or saw twice`, unseen.length),
  ];
  return { figures, series: { PostService: records } };
}

interface Instance {
  readonly service: ServiceProcess;
  readonly clients: readonly PostClient[];
  isReady: boolean;
  isEnding: boolean;
}

function createInstance(service: ServiceProcess): Instance {
  // Nothing is repeated: each failure is seen.
  const clients = [
    createPostClient(service.url, { httpVersion: '1.1', attempts: 1 }),
    createPostClient(service.url, { httpVersion: '2', attempts: 1 }),
    createPostClient(service.url, { protocol: 'grpc', attempts: 1 }),
  ];
  return { service, clients, isReady: true, isEnding: false };
}

async function balance(instances: readonly Instance[], signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await Promise.all(
      instances.map(async instance => {
        const response = await fetch(`${instance.service.adminUrl}/readyz`).catch(() => undefined);
        instance.isReady = response?.status === 200;
      }),
    );
    await delay(BALANCER_LOOKS_EVERY_MS, undefined, { signal }).catch(() => {});
  }
}

async function callOnce(
  instances: readonly Instance[],
  n: number,
  ids: readonly string[],
  dueAt: number,
  startedAt: number,
  records: CallRecord[],
  created: string[],
): Promise<void> {
  const ready = instances.filter(({ isReady }) => isReady);
  const { clients } = ready[n % ready.length] ?? {};
  const client = clients?.[n % clients.length];
  const isWrite = n % 10 === 0;
  let code = 'ok';
  try {
    if (isWrite) {
      const slug = `restart-${randomUUID()}`;
      await client?.createPost({ post: { title: 'x', slug }, requestId: randomUUID() });
      created.push(slug);
    } else await client?.getPost({ key: { case: 'id', value: ids[n % ids.length] ?? '' } });
  } catch (error) {
    code = `${codeToString(ConnectError.from(error).code)}: ${ConnectError.from(error).rawMessage}`;
  }
  records.push({
    kind: isWrite ? 'write' : 'cold',
    atMs: dueAt - startedAt,
    tookMs: performance.now() - dueAt,
    code,
    isStale: false,
  });
}

/** Follows all changes, from one instance to the next. */
async function watch(
  instances: readonly Instance[],
  n: number,
  { seen, lost, placed }: { seen: Map<string, number>; lost: string[]; placed: () => void },
  signal: AbortSignal,
): Promise<void> {
  const anyReady: Pick<PostClient, 'watchPosts'> = {
    watchPosts: (request, options) => {
      const ready = instances.filter(({ isReady, isEnding }) => isReady && !isEnding);
      const { clients } = ready[n % ready.length] as Instance;
      return (clients[n % clients.length] as PostClient).watchPosts(request, options);
    },
  };
  const onLost = (error: ConnectError | undefined) => {
    if (error !== undefined && !signal.aborted) lost.push(error.message);
  };
  for await (const { change } of followPosts(anyReady, {}, { signal, onLost })) {
    placed();
    const slug = change?.post?.slug ?? '';
    if (slug.startsWith('restart-')) seen.set(slug, (seen.get(slug) ?? 0) + 1);
  }
}

const RATE = 150;
const WATCHERS = 2;
const BALANCER_LOOKS_EVERY_MS = 100;
const GRACE_MS = 10_000;
