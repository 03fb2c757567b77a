import { symbols } from 'pino';
import type { Logger } from '#src/observability/logger.ts';

/** One request, from its first byte to its last. Undefined fields are left out of the line. */
export interface AccessRecord {
  readonly id: string;
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly httpVersion: string;
  readonly protocol: string | undefined;
  readonly procedure: string | undefined;
  /** How the RPC ended. */
  readonly code: string | undefined;
  /** Why it never became an RPC. */
  readonly refused: string | undefined;
  /** The HTTP status; undefined: the client was gone before there was one. */
  readonly status: number | undefined;
  readonly durationMs: number;
  /** Of the bodies, as they crossed the wire. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly remoteAddress: string;
  readonly userAgent: string | undefined;
  /** The client did not get the whole response. */
  readonly aborted: boolean;
  /** Served by connect-node rather than by the fast path, or refused. Only then it is in the line. */
  readonly adapted: boolean;
  /** How many calls that went well the line stands for; in the line where it is more than itself. */
  readonly sampled: number;
  /** What went wrong inside, if anything did. */
  readonly cause: unknown;
}

/**
 * The access log: one line for each request, level info; with a cause, warn, or error where the fault is ours.
 *
 * The usual line is joined by hand and given to the logger's own stream. pino takes 5 µs for it, a good part of what a cached read costs
 * altogether; this takes 1, and its system call 3 more. So of calls that went well only so many a second are written in full, and beyond
 * that a sample. Text from outside is JSON-escaped and cut, so no client can break a line.
 *
 * @param successesPerSecond calls that went well beyond this are sampled; unset: none are.
 */
export function createAccessLog(log: Logger, successesPerSecond = Number.POSITIVE_INFINITY): AccessLog {
  const stream = (log as unknown as { [symbols.streamSym]: { write(line: string): void } })[symbols.streamSym];
  const info = log.levels.values.info;
  const bindings = JSON.stringify(log.bindings()).slice(1, -1);
  const head = `{"level":${info},${bindings === '' ? '' : `${bindings},`}"time":"`;

  let timeMs = 0;
  let time = '';

  function write(record: AccessRecord): void {
    if (record.cause !== undefined && record.cause !== null) {
      const { cause, ...fields } = record;
      const ours = record.code === undefined || FAULTS.has(record.code);
      log[ours ? 'error' : 'warn'](
        { ...fields, path: cut(fields.path), userAgent: cut(fields.userAgent), err: cause },
        'request',
      );
      return;
    }
    if (!log.isLevelEnabled('info')) return;
    const now = Date.now();
    if (now !== timeMs) {
      timeMs = now;
      time = new Date(now).toISOString();
    }
    stream.write(`${head}${time}"${fieldsOf(record)},"msg":"request"}\n`);
  }

  let second = 0;
  let successes = 0;

  function sampleSuccess(nowMs: number): number {
    const now = Math.trunc(nowMs / 1000);
    if (now !== second) {
      second = now;
      successes = 0;
    }
    successes++;
    if (successes <= successesPerSecond) return 1;
    return successes % SAMPLE_EVERY === 0 ? SAMPLE_EVERY : 0;
  }

  return { write, sampleSuccess };
}

export interface AccessLog {
  readonly write: (record: AccessRecord) => void;
  /**
   * How many calls a line for one that went well would stand for; 0: it is not to be written. Asked once for each.
   *
   * @param nowMs `performance.now()`.
   */
  readonly sampleSuccess: (nowMs: number) => number;
}

/** Above the rate, one of so many is written: enough to see what the calls are like. */
const SAMPLE_EVERY = 512;
/** Codes that mean that something is wrong with the service itself. */
const FAULTS: ReadonlySet<string> = new Set(['internal', 'unknown', 'data_loss']);
/** The most characters of a text from outside. */
const TEXT_MAX = 256;

function fieldsOf(record: AccessRecord): string {
  let line = `,"id":"${record.id}","method":${quote(record.method)},"path":${quote(record.path)},"httpVersion":"${record.httpVersion}"`;
  if (record.protocol !== undefined) line += `,"protocol":"${record.protocol}"`;
  if (record.procedure !== undefined) line += `,"procedure":"${record.procedure}"`;
  if (record.code !== undefined) line += `,"code":"${record.code}"`;
  if (record.refused !== undefined) line += `,"refused":"${record.refused}"`;
  if (record.status !== undefined) line += `,"status":${record.status}`;
  line += `,"durationMs":${Math.round(record.durationMs * 1000) / 1000},"bytesIn":${record.bytesIn},"bytesOut":${record.bytesOut}`;
  line += `,"remoteAddress":"${record.remoteAddress}"`;
  if (record.userAgent !== undefined) line += `,"userAgent":${quote(record.userAgent)}`;
  line += `,"aborted":${record.aborted}`;
  if (record.adapted) line += ',"adapted":true';
  return record.sampled > 1 ? `${line},"sampled":${record.sampled}` : line;
}

function quote(text: string): string {
  return JSON.stringify(cut(text));
}

function cut<T extends string | undefined>(text: T): T {
  return text === undefined || text.length <= TEXT_MAX ? text : (text.slice(0, TEXT_MAX) as T);
}
