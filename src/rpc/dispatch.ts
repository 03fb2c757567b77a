import type { IncomingMessage, ServerResponse } from 'node:http';
import { constants, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import type { DescMethodUnary } from '@bufbuild/protobuf';
import {
  Code,
  type ConnectError,
  type ConnectRouter,
  createConnectRouter,
  createContextValues,
  type Interceptor,
} from '@connectrpc/connect';
import type { UniversalHandler, UniversalServerResponse } from '@connectrpc/connect/protocol';
import { codeToHttpStatus } from '@connectrpc/connect/protocol-connect';
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from '@connectrpc/connect-node';
import { boundedBrotli } from '#src/rpc/bounded-brotli.ts';
import type { Call } from '#src/rpc/call.ts';
import { UNBOUNDED } from '#src/rpc/deadline.ts';
import { withKnownFlags } from '#src/rpc/envelope-flags.ts';
import { toClientError } from '#src/rpc/error-mapping.ts';
import { type AdmitCall, admission } from '#src/rpc/load-shedding.ts';
import { callKey, outcome, settleFailed, settleOk } from '#src/rpc/outcome.ts';
import {
  answerUnquotable,
  explainProtocolError,
  type ProtocolErrorOptions,
  translateProtocolError,
} from '#src/rpc/protocol-error.ts';
import { type Route, routeOf } from '#src/rpc/route.ts';
import { writeStreamResponse } from '#src/rpc/stream-response.ts';
import { type Format, formatOf } from '#src/rpc/unary/media-type.ts';
import type { DeadlineBounds } from '#src/rpc/unary/timeout.ts';
import type { UnaryMethodInit } from '#src/rpc/unary/unary-method.ts';
import { createUnaryPath, type UnaryPath } from '#src/rpc/unary/unary-path.ts';
import { type RequestCheck, validation } from '#src/rpc/validation.ts';

/** What requests are given to. They come from the shell: with one well-formed authority. */
export interface Dispatch {
  /** The RPCs that are served, by path, such as `/blog.v1.PostService/GetPost`. */
  readonly routes: ReadonlyMap<string, Route>;
  /** The fast path for unary calls, which declines what it does not serve. */
  readonly unary: UnaryPath;
  /**
   * Answers, by @connectrpc/connect-node, a normalized POST of the route that `call` names. What it learns of the call it writes into
   * `call`.
   */
  readonly adapter: (
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
    call: Call,
  ) => void;
}

export interface DispatchOptions {
  readonly routes: (router: ConnectRouter) => unknown;
  readonly stages: CallStages;
  /** The most bytes of a request message, as sent and as inflated. */
  readonly requestMaxBytes: number;
  /** From how many bytes on a response is compressed for a client that takes it. */
  readonly compressMinBytes: number;
  readonly unary: UnaryOptions;
  /** Aborted with a ConnectError when the server stops waiting for calls to end. */
  readonly shutdownSignal: AbortSignal;
  /** What clients are told of requests that are no call, which no stage sees. */
  readonly protocolErrors?: ProtocolErrorOptions;
}

/** What happens to each call around its handler, on whichever path: it is admitted, its request checked, an error translated. */
export interface CallStages {
  /** Throws where the call is not to be served now; default: all are. */
  readonly admit?: AdmitCall;
  /** Throws where a request breaks a rule. */
  readonly check: RequestCheck;
  /** Makes of any error the one that the client gets; default: by the service's own table. */
  readonly translate?: (error: unknown) => ConnectError;
}

export interface UnaryOptions {
  /** Whether it takes calls by POST; otherwise they go through connect-node. Calls by GET it takes always. */
  readonly takesPost: boolean;
  /** For calls on the fast path; the shell bounds those of the others. */
  readonly deadline: DeadlineBounds;
  /** How long a request's body may take to arrive, in milliseconds. */
  readonly bodyTimeoutMs: number;
  /** The field Cache-Control of answers to GET, by procedure, such as `blog.v1.PostService/GetPost`. */
  readonly cacheControl: Readonly<Record<string, string>>;
}

/**
 * The most bytes of a response message, as sent. A page of posts is below 5 MiB, or six times that in JSON where every
 * character has to be escaped.
 */
const RESPONSE_MAX_BYTES = 32 * 1024 * 1024;

/** Responses that are compressed at once: one for each thread that the platform has for it. */
const COMPRESS_CONCURRENCY = 4;

const ACCEPT_COMPRESSION = [compressionGzip, boundedBrotli];

/** Connect, gRPC and gRPC-Web for all routes, by path. */
export function createDispatch(options: DispatchOptions): Dispatch {
  const { stages, unary } = options;
  const { handlers, unaryMethods } = collectRoutes(options, [
    outcome(stages.translate),
    ...(stages.admit === undefined ? [] : [admission(stages.admit)]),
    validation(stages.check),
  ]);
  const byPath = new Map<string, UniversalHandler>(handlers.map(handler => [handler.requestPath, handler]));

  function adapter(
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
    call: Call,
  ): void {
    const handler = byPath.get(`/${call.procedure}`);
    if (handler === undefined) throw new Error(`there is no handler for ${call.procedure}`);
    const contentType = request.headers['content-type'] ?? '';
    const format = formatOf(contentType);
    call.protocol = format?.protocol === 'connect-stream' ? 'connect' : format?.protocol;
    const values = createContextValues().set(callKey, call);
    void (async () => {
      try {
        const given = universalRequestFromNodeRequest(request, response as ServerResponse, undefined, values);
        const body = given.body as AsyncIterable<Uint8Array>;
        const universal = format?.protocol === 'connect' ? given : { ...given, body: withKnownFlags(body) };
        const answer = await handler(universal).then(
          given => explainProtocolError(withAcceptedEncodings(given, format), call, options.protocolErrors),
          error => {
            if (!(error instanceof URIError) || call.code !== undefined) throw error;
            return answerUnquotable(contentType, call, options.protocolErrors);
          },
        );
        if (handler.method.methodKind !== 'unary' && 'stream' in response) await writeStreamResponse(answer, response);
        else await universalResponseToNodeResponse(answer, response);
      } catch (error) {
        // The client went away, or there is a fault in a handler's frame; in both cases there is nobody to tell.
        call.cause ??= error;
        cut(response);
      }
    })();
  }

  const translate = stages.translate ?? toClientError;
  const unaryPath = createUnaryPath({
    ...unary,
    methods: unaryMethods,
    readMaxBytes: options.requestMaxBytes,
    writeMaxBytes: RESPONSE_MAX_BYTES,
    acceptCompression: ACCEPT_COMPRESSION,
    compressResponses: { minBytes: options.compressMinBytes, concurrency: COMPRESS_CONCURRENCY },
    shutdownSignal: options.shutdownSignal,
    admit: stages.admit ?? admitAll,
    check: (method, message) => stages.check(method.input, message),
    succeeded: (call: Call) => settleOk(call),
    failed: (call: Call, error, aborted) => settleFailed(call, error, aborted, translate),
    unreadable: (call: Call, error) => translateProtocolError(call, error, options.protocolErrors),
  });
  const routes = new Map(handlers.map(handler => [handler.requestPath, routeOf(handler.method)]));
  return { routes, unary: unaryPath, adapter };
}

function admitAll(): void {}

/** The handlers of connect-node's router, and what the unary ones of them are made of. */
function collectRoutes(
  { routes, requestMaxBytes, compressMinBytes, shutdownSignal }: DispatchOptions,
  interceptors: Interceptor[],
): { handlers: readonly UniversalHandler[]; unaryMethods: readonly UnaryMethodInit[] } {
  const router = createConnectRouter({
    acceptCompression: ACCEPT_COMPRESSION,
    compressMinBytes,
    interceptors,
    readMaxBytes: requestMaxBytes,
    writeMaxBytes: RESPONSE_MAX_BYTES,
    // The shell has brought the deadline within bounds; this is the most that a timer can hold.
    maxTimeoutMs: UNBOUNDED.maxMs,
    shutdownSignal,
  });
  const unaryMethods: UnaryMethodInit[] = [];
  const addService = router.service.bind(router);
  router.service = (service, implementation, options) => {
    for (const method of service.methods) {
      const invoke = (implementation as Record<string, unknown>)[method.localName];
      if (method.methodKind !== 'unary' || typeof invoke !== 'function') continue;
      unaryMethods.push({
        method: method as DescMethodUnary,
        invoke: invoke.bind(implementation),
        jsonOptions: options?.jsonOptions,
      });
    }
    return addService(service, implementation, options);
  };
  routes(router);
  return { handlers: router.handlers, unaryMethods };
}

/** Ends a response that can't be finished. A stream of HTTP/2 that ends without an error is one that clients wait on for ever. */
function cut(response: ServerResponse | Http2ServerResponse): void {
  if ('stream' in response) response.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  else response.destroy();
}

/** Names the encodings that a request may have, where it may have had another one: connect-node does not. */
function withAcceptedEncodings(answer: UniversalServerResponse, format: Format | undefined): UniversalServerResponse {
  const header = new Headers(answer.header);
  const names = ACCEPT_COMPRESSION.map(compression => compression.name);
  switch (format?.protocol) {
    case 'grpc':
      if (answer.trailer?.get('grpc-status') !== String(Code.Unimplemented)) return answer;
      header.set('grpc-accept-encoding', ['identity', ...names].join(','));
      break;
    case 'grpc-web':
      header.set('grpc-accept-encoding', ['identity', ...names].join(','));
      break;
    case 'connect-stream':
      header.set('connect-accept-encoding', names.join(', '));
      break;
    default:
      if (answer.status !== codeToHttpStatus(Code.Unimplemented)) return answer;
      header.set('accept-encoding', names.join(', '));
  }
  return { ...answer, header };
}
