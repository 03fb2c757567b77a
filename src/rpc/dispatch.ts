import type { DescMethod, DescMethodUnary } from '@bufbuild/protobuf';
import { Code, ConnectError, type ConnectRouter, createConnectRouter, type Interceptor } from '@connectrpc/connect';
import type { UniversalHandler } from '@connectrpc/connect/protocol';
import { compressionGzip } from '@connectrpc/connect-node';
import { ByteBudget } from '#src/resilience/byte-budget.ts';
import { boundedBrotli } from '#src/rpc/adapter/bounded-brotli.ts';
import { type ConnectAdapter, createConnectAdapter } from '#src/rpc/adapter/connect-adapter.ts';
import { UNBOUNDED } from '#src/rpc/adapter/deadline.ts';
import { largeAdaptedAnswers } from '#src/rpc/adapter/large-adapted-answers.ts';
import { toClientError } from '#src/rpc/error-mapping.ts';
import { type AdmitCall, admission } from '#src/rpc/load-shedding.ts';
import { outcome, settleFailed, settleOk } from '#src/rpc/outcome.ts';
import { type ProtocolErrorOptions, translateProtocolError } from '#src/rpc/protocol-error.ts';
import { type Route, routeOf } from '#src/rpc/route.ts';
import type { UnaryMethodInit } from '#src/rpc/unary/codec/unary-method.ts';
import type { DeadlineBounds } from '#src/rpc/unary/protocol/timeout.ts';
import { createUnaryPath, type UnaryPath } from '#src/rpc/unary/unary-path.ts';
import { type RequestCheck, validation } from '#src/rpc/validation.ts';

/** What requests are given to. They come from the shell: with one well-formed authority. */
export interface Dispatch {
  /** The RPCs that are served, by path, such as `/blog.v1.PostService/GetPost`. */
  readonly routes: ReadonlyMap<string, Route>;
  /** The fast path for unary calls, which declines what it does not serve. */
  readonly unary: UnaryPath;
  /** connect-node, for what the fast path declines. */
  readonly adapter: ConnectAdapter;
}

export interface DispatchOptions {
  readonly routes: (router: ConnectRouter) => unknown;
  readonly stages: CallStages;
  /** The most bytes of a request message, as sent and as inflated. */
  readonly requestMaxBytes: number;
  /** From how many bytes on a response is compressed for a client that takes it. */
  readonly compressMinBytes: number;
  readonly unary: UnaryOptions;
  /** What large answers take; default: all that they want. */
  readonly largeAnswers?: ByteBudget;
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
 * The most bytes of a response message, as sent. A page of posts is below 4 MiB, or six times that in JSON where every
 * character has to be escaped.
 */
const RESPONSE_MAX_BYTES = 32 * 1024 * 1024;

const UNLIMITED = new ByteBudget({ maxBytes: Number.POSITIVE_INFINITY, now: () => performance.now() });

/** Responses that are compressed at once: one for each thread that the platform has for it. */
const COMPRESS_CONCURRENCY = 4;

const ACCEPT_COMPRESSION = [compressionGzip, boundedBrotli];

/** Connect, gRPC and gRPC-Web for all routes, by path. */
export function createDispatch(options: DispatchOptions): Dispatch {
  const { stages, unary, largeAnswers = UNLIMITED } = options;
  const { handlers, unaryMethods } = collectRoutes(options, [
    outcome(stages.translate),
    largeAdaptedAnswers(largeAnswers),
    ...(stages.admit === undefined ? [] : [admission(stages.admit)]),
    validation(stages.check),
  ]);
  const translate = stages.translate ?? toClientError;
  const unaryPath = createUnaryPath({
    ...unary,
    methods: unaryMethods,
    readMaxBytes: options.requestMaxBytes,
    writeMaxBytes: RESPONSE_MAX_BYTES,
    acceptCompression: ACCEPT_COMPRESSION,
    largeAnswers,
    compressResponses: { minBytes: options.compressMinBytes, concurrency: COMPRESS_CONCURRENCY },
    shutdownSignal: options.shutdownSignal,
    admit: stages.admit ?? admitAll,
    check: (method, message) => stages.check(method.input, message),
    succeeded: settleOk,
    failed: (call, error, aborted) => settleFailed(call, error, aborted, translate),
    unreadable: (call, error) => translateProtocolError(call, error, options.protocolErrors),
  });
  const routes = new Map(handlers.map(handler => [handler.requestPath, routeOf(handler.method)]));
  const adapter = createConnectAdapter(handlers, { ...options, acceptCompression: ACCEPT_COMPRESSION });
  return { routes, unary: unaryPath, adapter };
}

function admitAll(): void {}

/** The handlers of connect-node's router, and what the unary ones of them are made of. */
function collectRoutes(
  { routes, requestMaxBytes, compressMinBytes }: DispatchOptions,
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
  });
  const unaryMethods: UnaryMethodInit[] = [];
  const addService = router.service.bind(router);
  router.service = (service, implementation, options) => {
    for (const method of service.methods) {
      const invoke = (implementation as Record<string, unknown>)[method.localName];
      if (method.methodKind !== 'unary') continue;
      unaryMethods.push({
        method: method as DescMethodUnary,
        invoke: typeof invoke === 'function' ? invoke.bind(implementation) : notImplemented(method),
        jsonOptions: options?.jsonOptions,
      });
    }
    return addService(service, implementation, options);
  };
  routes(router);
  return { handlers: router.handlers, unaryMethods };
}

/** As connect-node has it for an RPC without a handler. */
function notImplemented(method: DescMethod): () => never {
  return () => {
    throw new ConnectError(`${method.parent.typeName}.${method.name} is not implemented`, Code.Unimplemented);
  };
}
