import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { type ConnectRouter, createConnectRouter, createContextValues, type Interceptor } from '@connectrpc/connect';
import type { UniversalHandler } from '@connectrpc/connect/protocol';
import {
  compressionGzip,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from '@connectrpc/connect-node';
import { boundedBrotli } from '#src/rpc/bounded-brotli.ts';
import type { Call, RpcProtocol } from '#src/rpc/call.ts';
import { UNBOUNDED } from '#src/rpc/deadline.ts';
import { callKey } from '#src/rpc/outcome.ts';
import { explainProtocolError, type ProtocolErrorOptions } from '#src/rpc/protocol-error.ts';
import { pathOf } from '#src/rpc/request-path.ts';

/**
 * Answers a request that is an RPC, and says whether it is one. What it learns of the call it writes into `call`.
 * It expects a request that the shell let through: with one well-formed authority, and a deadline within bounds.
 */
export type Dispatch = (
  request: IncomingMessage | Http2ServerRequest,
  response: ServerResponse | Http2ServerResponse,
  call: Call,
) => boolean;

export interface DispatchOptions {
  readonly routes: (router: ConnectRouter) => unknown;
  /** The stages of each call, the outermost first. */
  readonly stages: readonly Interceptor[];
  /** The most bytes of a request message, as sent and as inflated. */
  readonly requestMaxBytes: number;
  /** Aborted with a ConnectError when the server stops waiting for calls to end. */
  readonly shutdownSignal: AbortSignal;
  /** What clients are told of requests that are no call, which no stage sees. */
  readonly protocolErrors?: ProtocolErrorOptions;
}

/**
 * The most bytes of a response message, as sent. A page of posts is below 5 MiB, or six times that in JSON where every
 * character has to be escaped.
 */
const RESPONSE_MAX_BYTES = 32 * 1024 * 1024;

/** Connect, gRPC and gRPC-Web for all routes, by path. */
export function createDispatch(options: DispatchOptions): Dispatch {
  const router = createConnectRouter({
    acceptCompression: [compressionGzip, boundedBrotli],
    interceptors: [...options.stages],
    readMaxBytes: options.requestMaxBytes,
    writeMaxBytes: RESPONSE_MAX_BYTES,
    // The shell has brought the deadline within bounds; this is the most that a timer can hold.
    maxTimeoutMs: UNBOUNDED.maxMs,
    shutdownSignal: options.shutdownSignal,
  });
  options.routes(router);
  const handlers = new Map<string, UniversalHandler>(router.handlers.map(handler => [handler.requestPath, handler]));

  return (request, response, call) => {
    const handler = handlers.get(pathOf(request.url ?? ''));
    if (handler === undefined) return false;
    call.procedure = handler.requestPath.slice(1);
    call.protocol = protocolOf(request.headers['content-type'] ?? '');
    const values = createContextValues().set(callKey, call);
    void (async () => {
      try {
        const universal = universalRequestFromNodeRequest(request, response as ServerResponse, undefined, values);
        const answer = await explainProtocolError(await handler(universal), call, options.protocolErrors);
        await universalResponseToNodeResponse(answer, response);
      } catch (error) {
        // The client went away, or there is a fault in a handler's frame; in both cases there is nobody to tell.
        call.cause ??= error;
        response.destroy();
      }
    })();
    return true;
  };
}

function protocolOf(contentType: string): RpcProtocol {
  if (contentType.startsWith('application/grpc-web')) return 'grpc-web';
  return contentType.startsWith('application/grpc') ? 'grpc' : 'connect';
}
