import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createArm } from './arms.ts';
import { CONTESTANTS, type Contestant } from './contestants.ts';
import { measureSlice } from './slice.ts';
import { startContestants } from './start-contestants.ts';
import type { WorkloadId } from './workloads.ts';

/** Where the time of a call goes, by V8's sampling profiler. */
export interface CallProfile {
  readonly workload: WorkloadId;
  readonly name: string;
  /** Part of the server → microseconds a call, without what it was idle. */
  readonly parts: Readonly<Record<string, number>>;
  /** The functions that take the most, with microseconds a call. */
  readonly functions: readonly (readonly [name: string, us: number])[];
}

/** Profiles the servers behind the figures that are hard to reach, one after the other, on their core. */
export async function profileCalls(core: number): Promise<CallProfile[]> {
  const profiles: CallProfile[] = [];
  for (const [workload, ...ids] of PROFILED)
    for (const id of ids) profiles.push(await profileOne(contestant(id), workload, core));
  return profiles;
}

const PROFILED: readonly (readonly [WorkloadId, ...string[]])[] = [
  ['post-proto', 'ours', 'raw', 'connect-node'],
  ['get-json', 'ours', 'ours-miss', 'fastify'],
  ['grpc', 'ours', 'raw-h2', 'connect-node-h2'],
];

function contestant(id: string): Contestant {
  const found = CONTESTANTS.find(entry => entry.id === id);
  if (found === undefined) throw new Error(`no contestant ${id}`);
  return found;
}

async function profileOne(entry: Contestant, workload: WorkloadId, core: number): Promise<CallProfile> {
  const folder = await mkdtemp(join(tmpdir(), 'postservice-bench-'));
  try {
    const { processOf: _, ...own } = entry;
    const [, ...words] = own.command;
    const flags = ['--cpu-prof', `--cpu-prof-dir=${folder}`, '--cpu-prof-interval=500', '--import', EXIT_ON_SIGTERM];
    const profiled = { ...own, command: ['node', ...flags, ...words] };
    let [begin, end, calls] = [0, 0, 0];
    {
      await using parts = new AsyncDisposableStack();
      // Others repeat the answers of ours.
      const others = entry.id.startsWith('ours') ? [] : [contestant('ours')];
      const processes = await startContestants([...others, profiled], { core, folder, parts });
      const server = processes.get(entry.id);
      if (server === undefined) throw new Error(`${entry.id} was not started`);
      const { load } = createArm(entry, workload, server);
      parts.defer(() => load.close());
      await measureSlice(load, server, WARM_UP_MS);
      begin = monotonicUs();
      const { rate } = await measureSlice(load, server, PROFILE_MS);
      end = monotonicUs();
      // What runs before and after the slice proper is at the same rate.
      calls = (rate * (end - begin)) / 1e6;
      await delay(100);
    }
    const file = (await readdir(folder)).find(name => name.endsWith('.cpuprofile'));
    if (file === undefined) throw new Error(`${entry.id} wrote no profile`);
    const profile = JSON.parse(await readFile(join(folder, file), 'utf8')) as CpuProfile;
    return { workload, name: entry.name, ...sumUp(profile, begin, end, calls) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function sumUp({ nodes, samples, timeDeltas, startTime }: CpuProfile, begin: number, end: number, calls: number) {
  const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
  const parts: Record<string, number> = {};
  const functions = new Map<string, number>();
  let at = startTime;
  for (const [i, sample] of samples.entries()) {
    const us = timeDeltas[i] ?? 0;
    at += us;
    const frame = frames.get(sample);
    if (at < begin || at > end || frame === undefined || frame.functionName === '(idle)') continue;
    const part = partOf(frame);
    parts[part] = (parts[part] ?? 0) + us / calls;
    const name = `${frame.functionName || '(anonymous)'} (${frame.url.replace(/^.*\/(?=node_modules|src|bench)/, '') || 'native'})`;
    functions.set(name, (functions.get(name) ?? 0) + us / calls);
  }
  const most = [...functions].sort(([, a], [, b]) => b - a).slice(0, FUNCTIONS_SHOWN);
  return { parts, functions: most };
}

/** By whose code it is. */
function partOf({ functionName, url }: CallFrame): string {
  if (functionName === '(garbage collector)') return 'garbage collection';
  if (url === '') return 'native code: system calls, parsers, framing, V8';
  if (/^node:(internal\/(http2|_http)|_http|http)/.test(url)) return "Node's HTTP, in JavaScript";
  if (/^node:(internal\/streams|stream|net|internal\/stream_base|internal\/js_stream)/.test(url))
    return "Node's streams and sockets";
  if (url.startsWith('node:')) return "Node's other JavaScript: events, ticks, timers, buffers";
  if (url.includes('/src/rpc/unary/')) return 'our fast path (src/rpc/unary)';
  if (url.includes('/src/http/')) return 'our shell (src/http)';
  if (url.includes('/src/')) return 'our stages and handler (src)';
  if (url.includes('/gen/') || url.includes('/bench/')) return "the server's own file";
  return 'libraries';
}

function monotonicUs(): number {
  return Number(process.hrtime.bigint() / 1000n);
}

const EXIT_ON_SIGTERM = 'data:text/javascript,process.on("SIGTERM",()=>process.exit(0))';
/** How long each server is called before the profile, and for the profile, in milliseconds. */
export const WARM_UP_MS = 5000;
export const PROFILE_MS = 5000;
const FUNCTIONS_SHOWN = 12;

interface CpuProfile {
  readonly nodes: readonly { readonly id: number; readonly callFrame: CallFrame }[];
  readonly samples: readonly number[];
  /** Microseconds. */
  readonly timeDeltas: readonly number[];
  readonly startTime: number;
}

interface CallFrame {
  readonly functionName: string;
  readonly url: string;
}
