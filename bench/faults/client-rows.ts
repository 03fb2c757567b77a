import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import http2, { type ClientHttp2Session, constants } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { goProgram } from '#test/support/go-program.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';
import { callAtConstantRate, goodClients } from '../hostile/good-clients.ts';
import { startServiceProcess } from '../service-process.ts';
import { type Figure, none, toSee } from './figures.ts';
import type { FaultRow, RowResult } from './row.ts';

/** Correct clients whose behaviour looks like a flood or an error. */
export const CLIENT_ROWS: readonly FaultRow[] = [
  { id: 'R35', fault: '500 calls a second cancelled on one connection, 60 s', run: cancelledCalls },
  { id: 'R36', fault: 'gRPC clients that dial, call and close', run: closingClients },
];

/** Cancelled calls a second, how long each runs, and the good calls beside them. */
const CANCELS = [
  { perSecond: 500, afterMs: 300, seconds: 60 },
  { perSecond: 500, afterMs: 20, seconds: 30 },
  { perSecond: 200, afterMs: 2, seconds: 30 },
] as const;
const CHECKS_PER_SECOND = 40;

async function cancelledCalls(): Promise<RowResult> {
  await using parts = new AsyncDisposableStack();
  const service = parts.use(await startServiceProcess({ DATA_DIR: parts.use(await makeTemporaryFolder()).path }));
  const clients = goodClients(service.url);
  const figures: Figure[] = [];
  for (const { perSecond, afterMs, seconds } of CANCELS) {
    const what = `${perSecond} a second, each after ${afterMs} ms, ${seconds} s`;
    const session = http2.connect(service.url, { peerMaxConcurrentStreams: 250 });
    await once(session, 'remoteSettings');
    let isLost = false;
    session.on('close', () => {
      isLost = true;
    });
    const others = callAtConstantRate(clients, AbortSignal.timeout(seconds * 1000));
    const { cancelled, checks, failed } = await cancelOn(session, perSecond, afterMs, seconds);
    const { calls, failed: othersFailed, p99Ms } = await others;
    figures.push(
      none(`${what}: of ${cancelled} cancelled calls' connections, lost`, isLost ? 1 : 0),
      none(`${what}: of ${checks} other calls on that connection, failed`, failed),
      none(`${what}: of ${calls} calls on other connections, failed`, othersFailed),
      toSee(`${what}: p99 of these`, `${p99Ms.toFixed(1)} ms`),
    );
    session.destroy();
  }
  return { figures };
}

async function cancelOn(session: ClientHttp2Session, perSecond: number, afterMs: number, seconds: number) {
  const begin = performance.now();
  const pending: Promise<void>[] = [];
  let [cancelled, failed] = [0, 0];
  for (let n = 0; n < perSecond * seconds && !session.destroyed; n++) {
    await delay(Math.max(0, begin + (n * 1000) / perSecond - performance.now()));
    if (session.destroyed) break;
    const watch = open(session, 'Watch').on('error', () => {});
    cancelled++;
    setTimeout(() => watch.close(constants.NGHTTP2_CANCEL), afterMs);
    if (n % (perSecond / CHECKS_PER_SECOND) >= 1) continue;
    const check = open(session, 'Check');
    let status: string | undefined;
    check.on('trailers', trailers => {
      status = String(trailers['grpc-status']);
    });
    const closed = new Promise<void>(resolve => check.on('error', () => {}).on('close', resolve));
    pending.push(
      closed.then(() => {
        if (status === '0') return;
        failed++;
        console.error(`a call beside the cancelled ones ended with grpc-status ${status}, RST_STREAM ${check.rstCode}`);
      }),
    );
  }
  await Promise.all(pending);
  return { cancelled, checks: pending.length, failed };
}

function open(session: ClientHttp2Session, method: string) {
  const stream = session.request({
    ':method': 'POST',
    ':path': `/grpc.health.v1.Health/${method}`,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.resume().end(Buffer.alloc(5));
  return stream;
}

async function closingClients(): Promise<RowResult> {
  await using parts = new AsyncDisposableStack();
  const service = parts.use(await startServiceProcess({ DATA_DIR: parts.use(await makeTemporaryFolder()).path }));
  const address = new URL(service.url).host;
  const figures: Figure[] = [];
  for (const [name, build] of Object.entries(CLIENTS)) {
    const [program = '', ...args] = (await build()) ?? [];
    if (program === '') {
      figures.push(toSee(name, 'not run: what it takes is not installed'));
      continue;
    }
    for (const kind of ['cycles', 'watches']) {
      const { stdout } = await run(program, [...args, kind, address, String(TIMES)]);
      figures.push(none(`${name}: of ${TIMES} ${kind}, failed`, Number.parseInt(stdout, 10)));
    }
  }
  const programs = {
    [`grpcurl, ${IN_A_ROW} times in a row`]: [
      GRPCURL,
      ['-plaintext', address, 'grpc.health.v1.Health/Check'],
      IN_A_ROW,
      0,
    ],
    [`grpc-health-probe, each second for ${PROBE_SECONDS} s`]: [PROBE, ['-addr', address], PROBE_SECONDS, 1000],
  } as const;
  for (const [name, [install, args, times, everyMs]] of Object.entries(programs)) {
    const program = await goProgram({ install });
    if (program === undefined) {
      figures.push(toSee(name, 'not run: Go is not installed'));
      continue;
    }
    let failed = 0;
    const begin = performance.now();
    for (let time = 0; time < times; time++) {
      await delay(Math.max(0, begin + time * everyMs - performance.now()));
      await run(program, args).catch(() => failed++);
    }
    figures.push(none(`${name}: failed`, failed));
  }
  return { figures };
}

const TIMES = 200;
const IN_A_ROW = 30;
const PROBE_SECONDS = 120;
const GRPCURL = 'github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.4';
const PROBE = 'github.com/grpc-ecosystem/grpc-health-probe@v0.4.63';
const FIXTURES = join(import.meta.dirname, '../../test/fixtures/grpc-clients');
const run = promisify(execFile);

/** How to start each client; undefined if its tools are not installed. All are kept outside of the checkout. */
const CLIENTS: Readonly<Record<string, () => Promise<readonly string[] | undefined>>> = {
  'grpc-go 1.85.0': async () => {
    const program = await goProgram({ folder: 'grpc-clients' });
    return program === undefined ? undefined : [program];
  },
  'grpcio 1.85.3': async () => {
    if (!(await isInstalled('python3', '--version'))) return undefined;
    const folder = join(tmpdir(), 'postservice-grpcio');
    await run('python3', ['-m', 'venv', folder]);
    await run(join(folder, 'bin/pip'), ['install', '--quiet', '--disable-pip-version-check', 'grpcio==1.85.3']);
    return [join(folder, 'bin/python'), join(FIXTURES, 'python/client.py')];
  },
  'grpc-java 1.75.0': async () => {
    if (!((await isInstalled('mvn', '--version')) && (await isInstalled('java', '-version')))) return undefined;
    const folder = join(tmpdir(), 'postservice-grpc-java');
    await mkdir(folder, { recursive: true });
    const pathFile = join(folder, 'classpath');
    const goals = ['compile', 'dependency:build-classpath', `-Dmdep.outputFile=${pathFile}`];
    await run('mvn', ['-q', '-B', '-f', join(FIXTURES, 'java/pom.xml'), ...goals]);
    const { stdout } = await run('cat', [pathFile]);
    return ['java', '-cp', `${join(folder, 'classes')}:${stdout.trim()}`, 'Client'];
  },
};

async function isInstalled(program: string, versionOption: string): Promise<boolean> {
  return await run(program, [versionOption]).then(
    () => true,
    () => false,
  );
}
