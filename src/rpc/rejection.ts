import { Code } from '@connectrpc/connect';
import { ERROR_DOMAIN } from '#src/rpc/error-details.ts';
import type { ErrorReason } from '#src/rpc/error-reasons.ts';

/** Why a request did not become an RPC, for the client, the log and the metrics. */
export interface Rejection {
  /** The `reason` of its ErrorInfo. */
  readonly reason: ErrorReason;
  /** The HTTP status, for protocols that use it for errors. */
  readonly status: number;
  /** The code of the error, for every protocol. */
  readonly code: Code;
  /** What was wrong, the limit, and what to do. It is the same for all clients, so nothing leaks. */
  readonly message: string;
  /** Fields of the answer in every protocol: names and values alternate. */
  readonly fields: readonly string[];
}

/** @param fields of the answer in every protocol: names and values alternate. */
export function refusal(
  reason: ErrorReason,
  status: number,
  code: Code,
  message: string,
  fields: readonly string[] = [],
): Rejection {
  return Object.freeze({ reason, status, code, message, fields });
}

/** Every rejection that does not depend on the named RPC. */
export const REJECTIONS = Object.freeze({
  malformed: refusal('MALFORMED_REQUEST', 400, Code.InvalidArgument, 'the request must be well-formed HTTP'),
  badHost: refusal('BAD_HOST', 400, Code.InvalidArgument, 'the request must have exactly one well-formed Host'),
  badTarget: refusal(
    'BAD_TARGET',
    400,
    Code.InvalidArgument,
    'the request target must be a path that begins with /, or a URL with http:// or https://',
  ),
  oldVersion: refusal(
    'UNSUPPORTED_VERSION',
    400,
    Code.InvalidArgument,
    'this version of HTTP is not supported: use HTTP/1.1, or HTTP/2 with its own preface',
  ),
  tunnel: refusal('TUNNEL_REFUSED', 400, Code.InvalidArgument, 'CONNECT is not supported'),
  unknownPath: refusal(
    'UNKNOWN_PATH',
    404,
    Code.Unimplemented,
    `nothing is served at this path; RPCs are, such as POST /${ERROR_DOMAIN}/GetPost, and server reflection lists them`,
  ),
  reset: refusal('RESET', 499, Code.Canceled, 'the stream was reset before its turn came'),
  tooSlow: refusal('REQUEST_TIMEOUT', 408, Code.DeadlineExceeded, 'the request took too long to arrive'),
  chunkExtensions: refusal(
    'CHUNK_EXTENSIONS_TOO_LARGE',
    413,
    Code.ResourceExhausted,
    'the chunk extensions are too large: at most 16 KiB',
  ),
  messageTooLarge: refusal(
    'MESSAGE_TOO_LARGE',
    413,
    Code.ResourceExhausted,
    'the message is larger than any that is taken (REQUEST_MAX_BYTES)',
  ),
  urlTooLong: refusal(
    'URL_TOO_LONG',
    414,
    Code.ResourceExhausted,
    'the URL is too long: at most 8 KiB; send the message with POST',
  ),
  badExpectation: refusal('EXPECTATION_FAILED', 417, Code.InvalidArgument, 'Expect must be 100-continue'),
  tooManyCalls: refusal(
    'TOO_MANY_CALLS',
    429,
    Code.ResourceExhausted,
    'too many calls of this address are in flight (CONNECTIONS_PER_ADDRESS): wait until some of them have ended',
  ),
  headersTooLarge: refusal(
    'HEADERS_TOO_LARGE',
    431,
    Code.ResourceExhausted,
    'the headers are too large: at most 16 KiB and 128 fields over HTTP/1.1, and 20 KiB with 32 bytes for each field over HTTP/2',
  ),
  internal: refusal('INTERNAL', 500, Code.Internal, 'internal error'),
  transferCoding: refusal(
    'UNSUPPORTED_TRANSFER_CODING',
    501,
    Code.Unimplemented,
    'the transfer coding is not supported: use chunked or Content-Length',
  ),
});
