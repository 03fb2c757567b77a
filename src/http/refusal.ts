import { create, toBinary } from '@bufbuild/protobuf';
import { base64Encode } from '@bufbuild/protobuf/wire';
import { ErrorInfoSchema } from '#gen/google/rpc/error_details_pb.js';
import { ERROR_DOMAIN } from '#src/rpc/error-details.ts';
import type { RequestHead } from '#src/rpc/unary/request-head.ts';

/** Why a request never became an RPC, as the client, the log and the metrics are told. */
export interface Refusal {
  /** The `reason` of its ErrorInfo. */
  readonly reason: string;
  /** The HTTP status. */
  readonly status: number;
  /** The body: an error as a Connect client reads it, with its ErrorInfo. The same for all, so nothing of ours leaks. */
  readonly body: string;
}

/** @returns why a request is refused. `rawHeaders` are its fields, names and values in turn. */
export type RequestGuard = (
  head: RequestHead,
  httpVersion: string,
  rawHeaders: readonly string[],
) => Refusal | undefined;

/** Every refusal there is. */
export const REFUSALS = Object.freeze({
  malformed: refusal('MALFORMED_REQUEST', 400, 'invalid_argument', 'the request is not well-formed HTTP'),
  badHost: refusal('BAD_HOST', 400, 'invalid_argument', 'the request needs exactly one well-formed Host'),
  badTarget: refusal('BAD_TARGET', 400, 'invalid_argument', 'the request target must be a path that begins with /'),
  oldVersion: refusal(
    'UNSUPPORTED_VERSION',
    400,
    'invalid_argument',
    'HTTP/1.0 is not spoken here: use HTTP/1.1 or HTTP/2',
  ),
  tunnel: refusal('TUNNEL_REFUSED', 400, 'invalid_argument', 'CONNECT and upgrades are not served'),
  unknownPath: refusal(
    'UNKNOWN_PATH',
    404,
    'unimplemented',
    `nothing is served at this path; RPCs are, such as POST /${ERROR_DOMAIN}/GetPost, and server reflection lists them`,
  ),
  badMethod: refusal(
    'METHOD_NOT_ALLOWED',
    405,
    'unimplemented',
    'RPCs are called with POST, and those that only read with GET too',
  ),
  reset: refusal('RESET', 499, 'canceled', 'the stream was reset before its turn came'),
  tooSlow: refusal('REQUEST_TIMEOUT', 408, 'deadline_exceeded', 'the request took too long to arrive'),
  chunkExtensions: refusal(
    'CHUNK_EXTENSIONS_TOO_LARGE',
    413,
    'resource_exhausted',
    'the chunk extensions are too large',
  ),
  urlTooLong: refusal('URL_TOO_LONG', 414, 'resource_exhausted', 'the URL is too long: send the message with POST'),
  badMediaType: refusal(
    'UNSUPPORTED_MEDIA_TYPE',
    415,
    'invalid_argument',
    'the content type must be one of Connect, gRPC or gRPC-Web, such as application/json or application/proto',
  ),
  badExpectation: refusal('EXPECTATION_FAILED', 417, 'invalid_argument', 'only 100-continue can be expected'),
  tooManyCalls: refusal(
    'TOO_MANY_CALLS',
    429,
    'resource_exhausted',
    'as many calls of this address are in flight as one address may have: wait until some of them have ended',
  ),
  headersTooLarge: refusal('HEADERS_TOO_LARGE', 431, 'resource_exhausted', 'the headers are too large or too many'),
  internal: refusal('INTERNAL', 500, 'internal', 'internal error'),
});

function refusal(reason: string, status: number, code: string, message: string): Refusal {
  const info = create(ErrorInfoSchema, { reason, domain: ERROR_DOMAIN });
  const value = base64Encode(toBinary(ErrorInfoSchema, info), 'std_raw');
  const debug = { reason, domain: ERROR_DOMAIN };
  const details = [{ type: ErrorInfoSchema.typeName, value, debug }];
  return Object.freeze({ reason, status, body: JSON.stringify({ code, message, details }) });
}
