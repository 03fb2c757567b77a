import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { createAccessLog } from '#src/http/access-log.ts';
import { type ClientCallsOptions, createClientCalls } from '#src/http/clients/client-calls.ts';
import { type CorsFields, createCors } from '#src/http/cors.ts';
import { createHttp2BodyDeadline } from '#src/http/guards/http2-body-deadline.ts';
import { BODY_TIMEOUT_MS } from '#src/http/guards/limits.ts';
import { createRequestGuard } from '#src/http/guards/request-guard.ts';
import { createSocketRejection, refuse, type SocketRejection } from '#src/http/guards/socket-rejection.ts';
import { RequestIds } from '#src/http/request-id.ts';
import type { Logger } from '#src/observability/logger.ts';
import type { Metrics } from '#src/observability/metrics.ts';
import { UNBOUNDED } from '#src/rpc/adapter/deadline.ts';
import { normalizeRequest } from '#src/rpc/adapter/normalize-request.ts';
import type { Dispatch } from '#src/rpc/dispatch.ts';
import { REJECTIONS, type Rejection } from '#src/rpc/rejection.ts';
import { type Route, refuseCall, SAFE_METHODS } from '#src/rpc/route.ts';
import type { DeadlineBounds } from '#src/rpc/unary/protocol/timeout.ts';
import { CallRecord } from '#src/wire/call-record.ts';
import {
  type Connection,
  connectionOf,
  connectionOfSocket,
  type HttpRequest,
  type HttpResponse,
} from '#src/wire/connection.ts';
import type { Http1Response } from '#src/wire/http-messages.ts';
import type { Http1Request } from '#src/wire/http1-exchange.ts';
import { stopUnreadBody } from '#src/wire/http2-exchange.ts';
import { type RequestHead, readHttp2Head } from '#src/wire/request-head.ts';
import { dropUnreadBody } from '#src/wire/unread-body.ts';

export interface ShellOptions {
  readonly dispatch: Dispatch;
  readonly log: Logger;
  readonly metrics: Pick<Metrics, 'rpcEnded' | 'nonRpcEnded'>;
  /** Successful calls beyond this many a second are sampled in the access log. Default: every call is logged. */
  readonly accessLogRate?: number;
  /** Origins whose pages may call. `*` allows every origin. */
  readonly corsOrigins: readonly string[];
  /** Fields that those pages may also send and read. Default: none. */
  readonly corsFields?: CorsFields;
  /** How clients behind trusted proxies are told apart. Default: no proxy is trusted. */
  readonly clients?: ClientCallsOptions | undefined;
  readonly deadline: DeadlineBounds;
  /** Maximum bytes of a request message. A client that announces more with `Expect` gets no 100 Continue. */
  readonly requestMaxBytes: number;
  /** How long a body may take over HTTP/2, in milliseconds. Default: as over HTTP/1.1. */
  readonly bodyTimeoutMs?: number;
  /** Paths of RPCs that stay open, such as `/grpc.health.v1.Health/Watch`. They get no default deadline and no body timeout. */
  readonly streamPaths?: ReadonlySet<string>;
  /** Whether a refusal is a status without a body, which is all that the protocols require. Default: the body gives the reason. */
  readonly bareRefusals?: boolean;
}

/** Owns each request from its first byte to the last byte of its response. */
export interface Shell extends SocketRejection {
  /** Dispatches a request or refuses it. Never throws. */
  readonly handle: (request: HttpRequest, response: HttpResponse) => void;
  /**
   * Answers an HTTP/2 request on the fast path, before Node creates its request and response objects. If it returns false, the caller
   * must pass the request to `handle`.
   */
  readonly handleStream: (
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    rawHeaders: readonly string[],
  ) => boolean;
  /** Counts and logs an HTTP/2 request that its client reset before it was handled. It gets no response. */
  readonly handleReset: (headers: IncomingHttpHeaders, connection: Connection | undefined) => void;
}

/**
 * Gives every request an id, checks it before the RPC library sees it, and bounds its deadline. Every request leaves one line in the
 * access log and one observation in the metrics, even if it never became an RPC.
 */
export function createShell(options: ShellOptions): Shell {
  const { dispatch, deadline, requestMaxBytes } = options;
  const { unary, routes } = dispatch;
  const streamPaths = options.streamPaths ?? new Set();
  const ids = new RequestIds();
  const guard = createRequestGuard();
  const cors = createCors(options.corsOrigins, options.corsFields);
  const clients = createClientCalls(options.clients ?? { isTrusted: () => false, perAddress: 0 });
  const bodyDeadline = createHttp2BodyDeadline(options.bodyTimeoutMs ?? BODY_TIMEOUT_MS);
  const accessLog = createAccessLog(options.log, options.accessLogRate);
  const end = (call: CallRecord) => {
    call.release?.();
    countCall(options.metrics, call);
    accessLog(call);
  };

  function handle(request: HttpRequest, response: HttpResponse): void {
    const { rawHeaders, httpVersion } = request;
    const isHttp2 = 'stream' in request;
    const head = isHttp2 ? readHttp2Head(request.headers, rawHeaders) : (request as Http1Request).offer();
    const call = new CallRecord(ids.of(head), head, httpVersion, connectionOf(request), end);
    const proxied = call.connection?.isTrustedProxy === true;
    if (proxied) clients.identify(call, rawHeaders);
    const route = routes.get(head.path);
    const refusal =
      guard(head, isHttp2, httpVersion, rawHeaders) ??
      refuseCall(route, head, isHttp2) ??
      (proxied ? clients.admit(call) : undefined);
    if (!isHttp2 && refusal === undefined && !isContinueAwaited(head)) {
      const fields = responseFields(call);
      if (unary.takeHttp1(request as Http1Request, response as Http1Response, head, fields, call)) return;
    }
    adapt(call, request, response, route, refusal);
  }

  function handleStream(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    rawHeaders: readonly string[],
  ): boolean {
    const head = readHttp2Head(headers, rawHeaders);
    const refusal = guard(head, true, '2.0', rawHeaders) ?? refuseCall(routes.get(head.path), head, true);
    if (refusal !== undefined || isContinueAwaited(head)) return false;
    const connection = stream.session && connectionOfSocket(stream.session);
    const call = new CallRecord(ids.of(head), head, '2.0', connection, end);
    if (connection?.isTrustedProxy) {
      clients.identify(call, rawHeaders);
      if (clients.admit(call) !== undefined) return false;
    }
    if (unary.takeHttp2(stream, headers, rawHeaders, head, responseFields(call), call)) return true;
    call.release?.();
    return false;
  }

  function handleReset(headers: IncomingHttpHeaders, connection: Connection | undefined): void {
    const head = readHttp2Head(headers, []);
    const call = new CallRecord(ids.of(head), head, '2.0', connection, end);
    call.refusal = REJECTIONS.reset;
    if (connection?.isTrustedProxy) clients.identify(call, Object.entries(headers).flat() as string[]);
    call.end(undefined, 0, 0, true);
  }

  /** The fields of every response, names and values in turn. */
  function responseFields({ id, head }: CallRecord): string[] {
    const fields = ['x-request-id', id, 'x-content-type-options', 'nosniff'];
    const readable = cors.fields(head.origin);
    if (readable.length > 0) fields.push(...readable);
    return fields;
  }

  /** Answers what the fast path does not: refusals, preflights, and calls that connect-node serves. */
  function adapt(
    call: CallRecord,
    request: HttpRequest,
    response: HttpResponse,
    route: Route | undefined,
    refusal: Rejection | undefined,
  ): void {
    call.adapted = true;
    call.procedure = route?.procedure;
    if ('stream' in request) request.stream.on('finish', () => stopUnreadBody(request.stream));
    request.on('error', ignore);
    response.on('error', ignore);
    response.on('close', () => {
      if ('stream' in request) bodyDeadline.forget(request);
      call.endWith(request, response);
      dropUnreadBody(request, call.connection);
    });
    const fields = responseFields(call);
    for (let i = 0; i < fields.length; i += 2) response.setHeader(fields[i] as string, fields[i + 1] as string);
    let refused = refusal;
    try {
      refused ??= serve(call, request, response, route);
    } catch (error) {
      call.cause = error;
      refused = REJECTIONS.internal;
    }
    if (refused !== undefined) reject(call, request, response, refused);
  }

  function reject(call: CallRecord, request: HttpRequest, response: HttpResponse, refusal: Rejection): void {
    call.refusal = refusal;
    refuse(request, response, refusal, options.bareRefusals);
  }

  function serve(
    call: CallRecord,
    request: HttpRequest,
    response: HttpResponse,
    route: Route | undefined,
  ): Rejection | undefined {
    const { head } = call;
    if (head.method === 'OPTIONS') {
      call.procedure = undefined;
      if (cors.answerPreflight(request, response)) return undefined;
      if (route === undefined && head.target !== '*') return REJECTIONS.unknownPath;
      response.setHeader('allow', route?.allow ?? SAFE_METHODS);
      response.statusCode = 204;
      response.end();
      return undefined;
    }
    if (isContinueAwaited(head) && !(Number(head.contentLength) > requestMaxBytes)) response.writeContinue();
    const staysOpen = streamPaths.has(head.path);
    normalizeRequest(request, head, staysOpen ? UNBOUNDED : deadline);
    if (!staysOpen && 'stream' in request) {
      bodyDeadline.watch(request, () => reject(call, request, response, REJECTIONS.tooSlow));
    }
    dispatch.adapter(request, response, call);
    return undefined;
  }

  return { handle, handleStream, handleReset, ...createSocketRejection(ids, end) };
}

/** Whether the client waits for 100 Continue before it sends the body. A GET has no body to wait for. */
function isContinueAwaited({ expect, method }: RequestHead): boolean {
  return expect !== undefined && method === 'POST';
}

/** Errors of a request or response only mean that its connection is gone. The `close` event follows. */
function ignore(): void {}

function countCall(metrics: ShellOptions['metrics'], call: CallRecord): void {
  const { code, procedure = '', protocol = '', refusal, refused = '', status = 0, durationMs, head } = call;
  if (code === undefined) metrics.nonRpcEnded(refused, refusal?.status ?? status);
  else metrics.rpcEnded(procedure, protocol, code, durationMs / 1000, keptTraceId(head.traceparent));
}

/** The id of the trace that a call is a part of, if the trace is kept (https://www.w3.org/TR/trace-context/, 3.2). */
function keptTraceId(traceparent: string | undefined): string | undefined {
  if (traceparent === undefined) return undefined;
  const [, traceId, flags = ''] = TRACEPARENT.exec(traceparent) ?? [];
  return Number.parseInt(flags, 16) % 2 === 1 ? traceId : undefined;
}

const TRACEPARENT = /^[\da-f]{2}-([\da-f]{32})-[\da-f]{16}-([\da-f]{2})/;
