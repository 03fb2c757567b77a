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

/**
 * Serves the requests that the shell has checked: each has one well-formed authority.
 *
 * Every stage exists twice, on the unary path and around connect-node's handlers (adapter/): admission, validation, outcome, deadline, the
 * body's time limit, compression. The unary path exists because it costs a sixth. test/rpc/unary/differential.test.ts holds the two equal.
 */
export interface Dispatch {
  /** The served RPCs by path, such as `/blog.v1.PostService/GetPost`. */
  readonly routes: ReadonlyMap<string, Route>;
  /** The fast path for unary calls. It declines what it does not serve. */
  readonly unary: UnaryPath;
  /** connect-node, which serves what the fast path declines. */
  readonly adapter: ConnectAdapter;
}

export interface DispatchOptions {
  readonly routes: (router: ConnectRouter) => unknown;
  readonly stages: CallStages;
  /** The most bytes of a request message, as sent and as inflated. */
  readonly requestMaxBytes: number;
  /** The size in bytes from which a response is compressed, if the client accepts that. */
  readonly compressMinBytes: number;
  readonly unary: UnaryOptions;
  /** The memory budget of large answers. Default: unlimited. */
  readonly largeAnswers?: ByteBudget;
  /** Aborted with a ConnectError when the server stops waiting for calls to end. */
  readonly shutdownSignal: AbortSignal;
  /** The errors of requests that are not calls, which no stage sees. */
  readonly protocolErrors?: ProtocolErrorOptions;
}

/** The stages around each handler, on both paths: admission, validation, translation of errors. */
export interface CallStages {
  /** Throws if the call must not be served now. Default: every call is served. */
  readonly admit?: AdmitCall;
  /** Throws if a request breaks a rule. */
  readonly check: RequestCheck;
  /** Translates an error for the client. Default: by the service's own table. */
  readonly translate?: (error: unknown) => ConnectError;
}

export interface UnaryOptions {
  /** Whether calls by POST take it. Otherwise they go through connect-node. Calls by GET always take it. */
  readonly takesPost: boolean;
  /** The bounds of deadlines on the fast path. The shell bounds those of other calls. */
  readonly deadline: DeadlineBounds;
  /** How long a request's body may take to arrive, in milliseconds. */
  readonly bodyTimeoutMs: number;
  /** Cache-Control of answers to GET, by procedure, such as `blog.v1.PostService/GetPost`. */
  readonly cacheControl: Readonly<Record<string, string>>;
}

/**
 * The most bytes of a response message, as sent. A page of posts is below 4 MiB, or six times that in JSON if every character is escaped.
 */
const RESPONSE_MAX_BYTES = 32 * 1024 * 1024;

const UNLIMITED = new ByteBudget({ maxBytes: Number.POSITIVE_INFINITY, now: () => performance.now() });

/** Concurrent compressions: one for each thread of the platform's pool. */
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

/** The handlers of connect-node's router, and the parts of the unary ones. */
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
    // The shell has bounded the deadline. This is the most that a timer can hold.
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

/** The same error as connect-node's for an RPC without a handler. */
function notImplemented(method: DescMethod): () => never {
  return () => {
    throw new ConnectError(`${method.parent.typeName}.${method.name} is not implemented`, Code.Unimplemented);
  };
}
