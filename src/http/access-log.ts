import type { Logger } from '#src/observability/logger.ts';
import type { CallRecord } from '#src/wire/call-record.ts';

/**
 * The access log: one line for each request, at level info. With a cause the level is warn, or error where the fault is ours.
 *
 * A line costs a good part of what a cached read costs. So only so many successful calls a second have a line each, and those beyond are
 * sampled. Text from outside is cut.
 *
 * @param successesPerSecond successful calls beyond this rate are sampled; default: none are.
 * @returns writes the line of a call that has ended. It must be called for every call, since it counts them.
 */
export function createAccessLog(
  log: Logger,
  successesPerSecond = Number.POSITIVE_INFINITY,
): (call: CallRecord) => void {
  let second = 0;
  let successes = 0;

  /** How many successful calls the line of this one stands for; 0: it has no line. */
  function sample(endedAt: number): number {
    const now = Math.trunc(endedAt / 1000);
    if (now !== second) {
      second = now;
      successes = 0;
    }
    successes++;
    if (successes <= successesPerSecond) return 1;
    return successes % SAMPLE_EVERY === 0 ? SAMPLE_EVERY : 0;
  }

  return call => {
    const sampled = call.code === 'ok' ? sample(call.startedAt + call.durationMs) : 1;
    if (sampled === 0) return;
    const { head } = call;
    log[levelOf(call)](
      {
        id: call.id,
        method: cut(head.method),
        path: cut(head.path),
        httpVersion: call.httpVersion,
        protocol: call.protocol,
        procedure: call.procedure,
        code: call.code,
        refused: call.refused,
        status: call.status,
        durationMs: Math.round(call.durationMs * 1000) / 1000,
        bytesIn: call.bytesRead,
        bytesOut: call.bytesWritten,
        remoteAddress: call.remoteAddress,
        userAgent: cut(head.userAgent),
        aborted: call.aborted,
        adapted: call.adapted || undefined,
        sampled: sampled > 1 ? sampled : undefined,
        err: call.cause ?? undefined,
      },
      'request',
    );
  };
}

/** Above the rate, one successful call of so many has a line: enough to see what the calls are like. */
const SAMPLE_EVERY = 512;
/** Codes that mean that something is wrong with the service itself. */
const FAULTS: ReadonlySet<string> = new Set(['internal', 'unknown', 'data_loss']);
/** The most characters of a text from outside. */
const TEXT_MAX = 256;

function levelOf({ cause, code }: CallRecord): 'info' | 'warn' | 'error' {
  if (cause === undefined || cause === null) return 'info';
  return code === undefined || FAULTS.has(code) ? 'error' : 'warn';
}

function cut<T extends string | undefined>(text: T): T {
  return text === undefined || text.length <= TEXT_MAX ? text : (text.slice(0, TEXT_MAX) as T);
}
