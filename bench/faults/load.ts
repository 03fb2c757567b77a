import http from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { Random } from '../random.ts';
import type { CallKind, CallRecord, WriteLedger } from './ledger.ts';

/** The calls, and their rate. */
export interface LoadOptions {
  /** Where the next call goes. It may change while the load runs. */
  readonly url: () => string;
  /** Calls a second, however long the answers take. */
  readonly rate: number;
  readonly seconds: number;
  /** Ids of existing posts. The first ones are the hot set. */
  readonly ids: readonly string[];
  readonly ledger: WriteLedger;
  /** The deadline of each call, in milliseconds. The server is told. */
  readonly deadlineMs?: number;
  readonly seed?: number;
  /** Shares of the calls. Default: 63 % reads of the hot set, 27 % of others, 10 % writes. */
  readonly mix?: readonly (readonly [kind: CallKind, share: number])[];
  /** Called when the load begins, so that faults come at their time. */
  readonly onStart?: (startedAt: number) => void;
}

/**
 * Calls at a constant rate over HTTP/1.1, in JSON. The time of a call begins when it is due, so that a slow answer
 * also counts for the calls behind it.
 *
 * @returns all calls, in the order of their ends.
 */
export async function runLoad(options: LoadOptions): Promise<CallRecord[]> {
  const { rate, seconds, ids, ledger, deadlineMs = 1000, mix = MIX } = options;
  const random = new Random(options.seed ?? 1);
  const agent = new http.Agent({ keepAlive: true, maxFreeSockets: 2000 });
  const records: CallRecord[] = [];
  const pending = new Set<Promise<void>>();
  const startedAt = performance.now();
  options.onStart?.(startedAt);
  const calls = Math.round(rate * seconds);
  for (let n = 0; n < calls; n++) {
    const dueAt = startedAt + (n * 1000) / rate;
    const early = dueAt - performance.now();
    if (early > 1) await delay(early);
    const kind = pick(mix, random.next());
    const id =
      kind === 'hot' ? ids[Math.floor(random.next() * HOT)] : ids[HOT + Math.floor(random.next() * (ids.length - HOT))];
    const written = kind === 'write' ? ledger.invoke() : undefined;
    const body = JSON.stringify(written?.request ?? (kind === 'list' ? { pageSize: 20 } : { id }));
    const ended = post(agent, options.url() + PATHS[kind], body, deadlineMs).then(answer => {
      const record = { kind, atMs: dueAt - startedAt, tookMs: performance.now() - dueAt, ...answer };
      records.push(record);
      written?.ended(record);
      pending.delete(ended);
    });
    pending.add(ended);
  }
  await Promise.all(pending);
  agent.destroy();
  return records;
}

/** The number of hot posts. */
export const HOT = 20;

const MIX = [
  ['hot', 0.63],
  ['cold', 0.27],
  ['write', 0.1],
] as const;
const SERVICE = '/blog.v1.PostService/';
const PATHS: Readonly<Record<CallKind, string>> = {
  hot: `${SERVICE}GetPost`,
  cold: `${SERVICE}GetPost`,
  write: `${SERVICE}CreatePost`,
  list: `${SERVICE}ListPosts`,
};

function pick(mix: readonly (readonly [CallKind, number])[], share: number): CallKind {
  let left = share;
  for (const [kind, part] of mix) {
    left -= part;
    if (left < 0) return kind;
  }
  return mix[0]?.[0] ?? 'hot';
}

type Answer = Pick<CallRecord, 'code' | 'isStale'>;

/** Never rejects: a call without an answer has the error of its connection as its code. */
function post(agent: http.Agent, url: string, body: string, deadlineMs: number): Promise<Answer> {
  return new Promise(resolve => {
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      'connect-timeout-ms': String(deadlineMs),
    };
    const request = http.request(url, { agent, method: 'POST', headers });
    // A server that is down enforces no deadline.
    const timer = setTimeout(() => request.destroy(new Error('client timeout')), deadlineMs + CLIENT_PATIENCE_MS);
    const end = (answer: Answer) => {
      clearTimeout(timer);
      resolve(answer);
    };
    request.on('error', (error: NodeJS.ErrnoException) => end({ code: error.code ?? error.message, isStale: false }));
    request.on('response', response => {
      const chunks: Buffer[] = [];
      response.on('data', chunk => chunks.push(chunk));
      response.on('error', () => end({ code: 'cut off', isStale: false }));
      response.on('end', () => {
        const isStale = response.headers['cache-status']?.includes('STALE') ?? false;
        if (response.statusCode === 200) end({ code: 'ok', isStale });
        else end({ code: codeOf(Buffer.concat(chunks)), isStale });
      });
    });
    request.end(body);
  });
}

function codeOf(body: Buffer): string {
  try {
    return String(JSON.parse(body.toString()).code);
  } catch {
    return 'no answer of the protocol';
  }
}

const CLIENT_PATIENCE_MS = 1000;
