import type { Exchange } from '#src/http/exchange.ts';
import { Http2Request, Http2Response } from '#src/http/http-messages.ts';
import { dropUnreadBody } from '#src/http/unread-body.ts';
import { createAccessLog } from '#src/observability/access-log.ts';
import type { Logger } from '#src/observability/logger.ts';
import type { Metrics } from '#src/observability/metrics.ts';
import type { Call } from '#src/rpc/call.ts';
import { pathOf } from '#src/rpc/request-path.ts';

/** What is done when a response has ended, in full or not: its line in the log, its metrics, and its unread body. */
export function createExchangeEnd(
  log: Logger,
  metrics: Pick<Metrics, 'rpcEnded' | 'nonRpcEnded'>,
): (exchange: Exchange) => void {
  const logAccess = createAccessLog(log);

  return exchange => {
    const { request, response, connection, call } = exchange;
    const durationMs = performance.now() - call.startedAt;
    const aborted = !arrived(exchange);
    const status = response.headersSent ? response.statusCode : undefined;
    const refused = refusalOf(exchange, status);
    const code = refused === undefined ? outcomeOf(call, aborted) : undefined;
    if (refused !== undefined) metrics.nonRpcEnded(refused, status ?? 0);
    else metrics.rpcEnded(call.procedure ?? '', call.protocol ?? '', code ?? '', durationMs / 1000);
    const [bytesIn, bytesOut] = bytesOf(exchange);
    logAccess({
      id: call.id,
      method: request.method ?? '',
      path: pathOf(request.url ?? ''),
      httpVersion: request.httpVersion,
      protocol: refused === undefined ? call.protocol : undefined,
      procedure: call.procedure,
      code,
      refused,
      status,
      durationMs,
      bytesIn,
      bytesOut,
      remoteAddress: connection?.remoteAddress ?? '',
      userAgent: request.headers['user-agent'],
      aborted,
      cause: call.cause,
    });
    dropUnreadBody(exchange);
  };
}

/**
 * Why the request never became an RPC; undefined where it did. The RPC library itself refuses a method or media type that
 * an existing procedure does not take, without an outcome. What is answered in the shell (a preflight) counts as refused
 * neither by us nor by it, but is no RPC either.
 */
function refusalOf({ refusal, call }: Exchange, status: number | undefined): string | undefined {
  if (refusal !== undefined) return refusal.reason;
  if (call.procedure === undefined) return 'PREFLIGHT';
  return call.code === undefined && status !== undefined && status >= 400 ? 'NOT_THE_PROTOCOL' : undefined;
}

/** Whether the whole response left for the client. */
function arrived({ request, response }: Exchange): boolean {
  return response.headersSent && response.writableFinished && !('stream' in request && request.stream.rstCode !== 0);
}

function outcomeOf(call: Call, aborted: boolean): string {
  return call.code ?? (aborted ? 'canceled' : 'unknown');
}

function bytesOf({ request, response, connection }: Exchange): [number, number] {
  if (request instanceof Http2Request && response instanceof Http2Response) {
    return [request.bytesRead, response.bytesWritten];
  }
  if (connection === undefined) return [0, 0];
  const { bytesRead, bytesWritten } = connection.socket;
  const bytes: [number, number] = [
    bytesRead - connection.bytesReadBefore,
    bytesWritten - connection.bytesWrittenBefore,
  ];
  connection.bytesReadBefore = bytesRead;
  connection.bytesWrittenBefore = bytesWritten;
  return bytes;
}
