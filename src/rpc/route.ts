import type { DescMethod } from '@bufbuild/protobuf';
import { MethodOptions_IdempotencyLevel as Idempotency } from '@bufbuild/protobuf/wkt';
import { Code } from '@connectrpc/connect';
import { formatOf } from '#src/rpc/media-type.ts';
import { REJECTIONS, type Rejection, refusal } from '#src/rpc/rejection.ts';
import type { RequestHead } from '#src/wire/request-head.ts';

/** A served RPC, and the requirements on its requests. */
export interface Route {
  /** Such as `blog.v1.PostService/GetPost`. */
  readonly procedure: string;
  readonly isUnary: boolean;
  /** Whether GET and HEAD may call it: it is unary and has no side effects. */
  readonly isSafe: boolean;
  /** Whether it sends and receives at the same time, which needs HTTP/2. */
  readonly isBidi: boolean;
  /** The Allow field of answers about the method (RFC 9110, 10.2.1). */
  readonly allow: string;
}

export function routeOf(method: DescMethod): Route {
  const isUnary = method.methodKind === 'unary';
  const isSafe = isUnary && method.idempotency === Idempotency.NO_SIDE_EFFECTS;
  return {
    procedure: `${method.parent.typeName}/${method.name}`,
    isUnary,
    isSafe,
    isBidi: method.methodKind === 'bidi_streaming',
    allow: isSafe ? SAFE_METHODS : OTHER_METHODS,
  };
}

/**
 * Rejects a request with a method or content type that the RPC at its path does not accept.
 *
 * A POST without one of our content types is rejected also because a page can send a form, text/plain, multipart or no type to another
 * origin without a preflight (CORS).
 *
 * @param route the RPC at the path; undefined: there is none.
 */
export function refuseCall(route: Route | undefined, head: RequestHead, isHttp2: boolean): Rejection | undefined {
  const { method } = head;
  // A browser's preflight gets its answer about the path when it makes the call.
  if (method === 'OPTIONS') return undefined;
  if (route === undefined) return REJECTIONS.unknownPath;
  if (method === 'GET' || method === 'HEAD') return route.isSafe ? undefined : POST_ONLY;
  if (method !== 'POST') return route.isSafe ? SAFE_ONLY : POST_ONLY;
  const format = formatOf(head.contentType);
  if (format === undefined) return route.isUnary ? NOT_UNARY : NOT_A_STREAM;
  if (route.isUnary ? format.protocol === 'connect-stream' : format.protocol === 'connect') {
    return route.isUnary ? STREAM_TO_UNARY : UNARY_TO_STREAM;
  }
  return route.isBidi && !isHttp2 ? BIDI_OVER_HTTP1 : undefined;
}

/** The Allow field for a request that names no RPC, such as `OPTIONS *`. */
export const SAFE_METHODS = 'GET, HEAD, POST, OPTIONS';
const OTHER_METHODS = 'POST, OPTIONS';

const SAFE_ONLY = refusal(
  'METHOD_NOT_ALLOWED',
  405,
  Code.Unimplemented,
  'this RPC must be called with POST, GET or HEAD',
  ['allow', SAFE_METHODS],
);
const POST_ONLY = refusal('METHOD_NOT_ALLOWED', 405, Code.Unimplemented, 'this RPC must be called with POST', [
  'allow',
  OTHER_METHODS,
]);

const UNARY_TYPES = 'application/json or application/proto (Connect), or one of gRPC or gRPC-Web';
const STREAM_TYPES =
  'application/connect+json or application/connect+proto (each message behind 5 bytes: a zero, and its length in 4 bytes, big-endian), or one of gRPC or gRPC-Web';
const NOT_UNARY = badType(`the content type must be ${UNARY_TYPES}`);
const STREAM_TO_UNARY = badType(`this RPC does not stream: the content type must be ${UNARY_TYPES}`);
const NOT_A_STREAM = badType(`this RPC streams: the content type must be ${STREAM_TYPES}`);
const UNARY_TO_STREAM = badType(`this RPC streams, which takes another content type: ${STREAM_TYPES}`);

/** A client that waits for answers while it sends may hang, so it is told that the connection ends. */
const BIDI_OVER_HTTP1 = refusal(
  'HTTP2_REQUIRED',
  505,
  Code.Unimplemented,
  'this RPC sends and receives at the same time: it must be called over HTTP/2',
  ['connection', 'close'],
);

function badType(message: string): Rejection {
  return refusal('UNSUPPORTED_MEDIA_TYPE', 415, Code.InvalidArgument, message);
}
