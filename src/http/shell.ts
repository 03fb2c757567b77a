import { connectionOf, type HttpRequest, type HttpResponse } from '#src/http/connection.ts';
import { createCors } from '#src/http/cors.ts';
import type { Exchange } from '#src/http/exchange.ts';
import { createExchangeEnd } from '#src/http/exchange-end.ts';
import { createHttp2BodyDeadline } from '#src/http/http2-body-deadline.ts';
import { BODY_TIMEOUT_MS } from '#src/http/limits.ts';
import { REFUSALS, type Refusal } from '#src/http/refusal.ts';
import { refuse } from '#src/http/refuse.ts';
import { createRequestGuard } from '#src/http/request-guard.ts';
import { requestIdFrom } from '#src/http/request-id.ts';
import { createSocketRefusal, type SocketRefusal } from '#src/http/socket-refusal.ts';
import { stopUnreadBody } from '#src/http/unread-body.ts';
import type { Logger } from '#src/observability/logger.ts';
import type { Metrics } from '#src/observability/metrics.ts';
import { boundDeadline, type DeadlineBounds, UNBOUNDED } from '#src/rpc/deadline.ts';
import type { Dispatch } from '#src/rpc/dispatch.ts';

export interface ShellOptions {
  readonly dispatch: Dispatch;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, 'rpcEnded' | 'nonRpcEnded'>;
  /** Origins whose pages may call; `*` stands for any. */
  readonly corsOrigins: readonly string[];
  readonly deadline: DeadlineBounds;
  /** The most bytes of a request message: a client that asks first (Expect) is not told to send more. */
  readonly requestMaxBytes: number;
  /** How long a body may take over HTTP/2, in milliseconds; default: as over HTTP/1.1. */
  readonly bodyTimeoutMs?: number;
  /** Paths of RPCs that stay open, such as `/grpc.health.v1.Health/Watch`: no default deadline, no limit to their body. */
  readonly streamPaths?: ReadonlySet<string>;
  /** Refusals are a status alone, which is all that the protocols ask for; default: the body says why. */
  readonly bareRefusals?: boolean;
}

/** What stands in front of the RPCs and owns each request from its first byte to its last. */
export interface Shell extends SocketRefusal {
  /** Answers a request, by the dispatch or with a refusal. Never throws. */
  readonly handle: (request: HttpRequest, response: HttpResponse) => void;
}

/**
 * Every request gets an id, is looked at before the RPC library sees it, has its deadline brought within bounds, and leaves
 * one line in the access log and one observation in the metrics, also where it never became an RPC.
 */
export function createShell(options: ShellOptions): Shell {
  const { dispatch, deadline, requestMaxBytes } = options;
  const streamPaths = options.streamPaths ?? new Set();
  const guard = createRequestGuard();
  const cors = createCors(options.corsOrigins);
  const bodyDeadline = createHttp2BodyDeadline(options.bodyTimeoutMs ?? BODY_TIMEOUT_MS);
  const end = createExchangeEnd(options.log, options.metrics);

  function handle(request: HttpRequest, response: HttpResponse): void {
    const connection = connectionOf(request);
    const id = requestIdFrom(request.headers['x-request-id']);
    const exchange: Exchange = {
      request,
      response,
      connection,
      refusal: undefined,
      call: {
        id,
        startedAt: performance.now(),
        procedure: undefined,
        protocol: undefined,
        code: undefined,
        cause: undefined,
      },
    };
    if ('stream' in request) request.stream.on('finish', () => stopUnreadBody(request));
    request.on('error', ignore);
    response.on('error', ignore);
    response.on('close', () => {
      if ('stream' in request) bodyDeadline.forget(request);
      end(exchange);
    });
    response.setHeader('x-request-id', id);
    response.setHeader('x-content-type-options', 'nosniff');
    try {
      exchange.refusal = serve(exchange);
    } catch (error) {
      exchange.call.cause = error;
      exchange.refusal = REFUSALS.internal;
    }
    if (exchange.refusal !== undefined) refuse(request, response, exchange.refusal, options.bareRefusals);
  }

  function serve({ request, response, call }: Exchange): Refusal | undefined {
    cors.decorate(request, response);
    const refusal = guard(request);
    if (refusal !== undefined) return refusal;
    if (cors.answerPreflight(request, response)) return undefined;
    const { headers } = request;
    if (headers.expect !== undefined) {
      if (headers.expect.toLowerCase() !== '100-continue') return REFUSALS.badExpectation;
      if (!(Number(headers['content-length']) > requestMaxBytes)) response.writeContinue();
    }
    const staysOpen = streamPaths.has(request.url ?? '');
    boundDeadline(headers, staysOpen ? UNBOUNDED : deadline);
    if (!staysOpen && 'stream' in request && request.method === 'POST') bodyDeadline.watch(request);
    return dispatch(request, response, call) ? undefined : REFUSALS.unknownPath;
  }

  return { handle, ...createSocketRefusal(options.log, options.metrics) };
}

/** An error of a message only says that its connection is gone; its `close` event follows and is dealt with. */
function ignore(): void {}
