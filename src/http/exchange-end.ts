import type { Exchange, ExchangeEnd } from '#src/http/exchange.ts';
import { createAccessLog } from '#src/observability/access-log.ts';
import type { Logger } from '#src/observability/logger.ts';
import type { Metrics } from '#src/observability/metrics.ts';

/** What is done when a response has ended, in full or not: its line in the log, and its metrics. */
export function createExchangeEnd(
  log: Logger,
  metrics: Pick<Metrics, 'rpcEnded' | 'nonRpcEnded'>,
  successesPerSecond: number | undefined,
): ExchangeEnd {
  const accessLog = createAccessLog(log, successesPerSecond);

  return (exchange, { status, bytesRead, bytesWritten, aborted }) => {
    exchange.release?.();
    const now = performance.now();
    const durationMs = now - exchange.startedAt;
    const refused = refusalOf(exchange);
    const code = refused === undefined ? (exchange.code ?? (aborted ? 'canceled' : 'unknown')) : undefined;
    if (code === undefined) metrics.nonRpcEnded(refused ?? '', exchange.refusal?.status ?? status ?? 0);
    else {
      const traceId = keptTraceId(exchange.head.traceparent);
      metrics.rpcEnded(exchange.procedure ?? '', exchange.protocol ?? '', code, durationMs / 1000, traceId);
    }
    const sampled = code === 'ok' ? accessLog.sampleSuccess(now) : 1;
    if (sampled === 0) return;
    const { head } = exchange;
    accessLog.write({
      id: exchange.id,
      method: head.method,
      path: head.path,
      httpVersion: exchange.httpVersion,
      protocol: code === undefined ? undefined : exchange.protocol,
      procedure: exchange.procedure,
      code,
      refused,
      status,
      durationMs,
      bytesIn: bytesRead,
      bytesOut: bytesWritten,
      remoteAddress: exchange.remoteAddress,
      userAgent: head.userAgent,
      aborted,
      adapted: exchange.adapted,
      sampled,
      cause: exchange.cause,
    });
  };
}

/** Why the request never became an RPC; undefined where it did. What is neither refused nor an RPC is a question of a browser. */
function refusalOf({ refusal, procedure }: Exchange): string | undefined {
  return refusal?.reason ?? (procedure === undefined ? 'PREFLIGHT' : undefined);
}

/** The id of the trace that a call is a part of, where the trace is kept (https://www.w3.org/TR/trace-context/, 3.2). */
function keptTraceId(traceparent: string | undefined): string | undefined {
  if (traceparent === undefined) return undefined;
  const [, traceId, flags = ''] = TRACEPARENT.exec(traceparent) ?? [];
  return Number.parseInt(flags, 16) % 2 === 1 ? traceId : undefined;
}

const TRACEPARENT = /^[\da-f]{2}-([\da-f]{32})-[\da-f]{16}-([\da-f]{2})/;
