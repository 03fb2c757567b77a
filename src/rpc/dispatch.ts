import type { IncomingMessage, ServerResponse } from 'node:http';
import { constants, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import type { DescMethodUnary } from '@bufbuild/protobuf';
import {
  type ConnectError,
  type ConnectRouter,
  createConnectRouter,
  createContextValues,
  type Interceptor,
} from '@connectrpc/connect';
import type { UniversalHandler } from '@connectrpc/connect/protocol';
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from '@connectrpc/connect-node';
import { boundedBrotli } from '#src/rpc/bounded-brotli.ts';
import type { Call, RpcProtocol } from '#src/rpc/call.ts';
import { UNBOUNDED } from '#src/rpc/deadline.ts';
import { toClientError } from '#src/rpc/error-mapping.ts';
import { type AdmitCall, admission } from '#src/rpc/load-shedding.ts';
import { callKey, outcome, settleFailed, settleOk } from '#src/rpc/outcome.ts';
import {
  answerUnquotable,
  explainProtocolError,
  type ProtocolErrorOptions,
  translateProtocolError,
} from '#src/rpc/protocol-error.ts';
import { pathOf } from '#src/rpc/request-path.ts';
import { writeStreamResponse } from '#src/rpc/stream-response.ts';
import { answerStrictly } from '#src/rpc/strict-requests.ts';
import type { DeadlineBounds } from '#src/rpc/unary/timeout.ts';
import type { UnaryMethodInit } from '#src/rpc/unary/unary-method.ts';
import { createUnaryPath, type UnaryPath } from '#src/rpc/unary/unary-path.ts';
import { type RequestCheck, validation } from '#src/rpc/validation.ts';

/** What requests are given to. They come from the shell: with one well-formed authority. */
export interface Dispatch {
  /** The fast path for unary calls, which declines what it does not serve; undefined: it is turned off. */
  readonly unary: UnaryPath | undefined;
  /**
   * Answers, by @connectrpc/connect-node, a request that is an RPC, and says whether it is one. What it learns of the call it
   * writes into `call`. Its deadline has to be within bounds.
   */
  readonly adapter: (
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
    call: Call,
  ) => boolean;
}

export interface DispatchOptions {
  readonly routes: (router: ConnectRouter) => unknown;
  readonly stages: CallStages;
  /** The most bytes of a request message, as sent and as inflated. */
  readonly requestMaxBytes: number;
  /** From how many bytes on a response is compressed for a client that takes it. */
  readonly compressMinBytes: number;
  /** The fast path; undefined: it is turned off, and all calls go through connect-node. */
  readonly unary: UnaryOptions | undefined;
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
  /** For calls on the fast path; the shell bounds those of the others. */
  readonly deadline: DeadlineBounds;
  /** How long a request's body may take to arrive, in milliseconds. */
  readonly bodyTimeoutMs: number;
  /** The field Cache-Control of answers to GET, by procedure, such as `blog.v1.PostService/GetPost`. */
  readonly cacheControl: Readonly<Record<string, string>>;
}

/**
 * The most bytes of a response message, as sent. A page of posts is below 4 MiB, or six times that in JSON where every
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
  const limits = { acceptCompression: ACCEPT_COMPRESSION, requestMaxBytes: options.requestMaxBytes };
  const byPath = new Map<string, UniversalHandler>(handlers.map(handler => [handler.requestPath, handler]));

  function adapter(
    request: IncomingMessage | Http2ServerRequest,
    response: ServerResponse | Http2ServerResponse,
    call: Call,
  ): boolean {
    const handler = byPath.get(pathOf(request.url ?? ''));
    if (handler === undefined) return false;
    call.procedure = handler.requestPath.slice(1);
    const contentType = request.headers['content-type'] ?? '';
    call.protocol = protocolOf(contentType);
    const values = createContextValues().set(callKey, call);
    void (async () => {
      try {
        const universal = universalRequestFromNodeRequest(request, response as ServerResponse, undefined, values);
        const answer = await answerStrictly(handler, universal, limits).then(
          given => explainProtocolError(given, call, options.protocolErrors),
          error => {
            if (!(error instanceof URIError) || call.code !== undefined) throw error;
            return answerUnquotable(contentType, call, options.protocolErrors);
          },
        );
        // Node takes a body for HEAD for a fault over HTTP/2.
        if (request.method === 'HEAD') delete answer.body;
        if (handler.method.methodKind !== 'unary' && 'stream' in response) await writeStreamResponse(answer, response);
        else await universalResponseToNodeResponse(answer, response);
      } catch (error) {
        // The client went away, or there is a fault in a handler's frame; in both cases there is nobody to tell.
        call.cause ??= error;
        cut(response);
      }
    })();
    return true;
  }

  const translate = stages.translate ?? toClientError;
  const unaryPath =
    unary &&
    createUnaryPath({
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
  return { unary: unaryPath, adapter };
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

function protocolOf(contentType: string): RpcProtocol {
  if (contentType.startsWith('application/grpc-web')) return 'grpc-web';
  return contentType.startsWith('application/grpc') ? 'grpc' : 'connect';
}
