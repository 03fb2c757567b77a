import { Code, ConnectError } from '@connectrpc/connect';
import { encodeEnvelope } from '@connectrpc/connect/protocol';
import { createEndStreamSerialization, endStreamFlag, errorToJsonBytes } from '@connectrpc/connect/protocol-connect';
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { trailerFlag, trailerSerialize } from '@connectrpc/connect/protocol-grpc-web';
import type { ErrorReason } from '#src/rpc/error-details.ts';
import { ERROR_DOMAIN, errorInfo } from '#src/rpc/error-details.ts';
import { essenceOf, formatOf } from '#src/rpc/media-type.ts';
import { percentEncode } from '#src/rpc/percent-encode.ts';

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

/** The answer to a rejected request, without the fields that every response has. */
export interface RejectionAnswer {
  /** The HTTP status. */
  readonly status: number;
  /** Names in lower case and values alternate. The content type is among them. */
  readonly fields: readonly string[];
  /** Undefined: the answer has only fields. */
  readonly body: Uint8Array | undefined;
}

/**
 * A rejection in the caller's protocol, which its content type names:
 *
 * | caller | answer |
 * |---|---|
 * | gRPC, over HTTP/2 | 200, with the status among the header fields, which are also the trailers ("Trailers-Only") |
 * | gRPC-Web | 200, and a frame of trailers |
 * | a stream of Connect | 200, and the message that ends the stream; 415 for an unknown codec, as its specification requires |
 * | all others | the status of the rejection, and the error in the JSON of a unary Connect call |
 *
 * gRPC needs HTTP/2. Over HTTP/1.1 its callers get JSON, which names the remedy. No cache may keep an answer.
 */
export function answerRejection(
  refusal: Rejection,
  contentType: string | undefined,
  isHttp2: boolean,
): RejectionAnswer {
  const dialect = dialectOf(refusal, contentType, isHttp2);
  let answers = ANSWERS.get(refusal);
  if (answers === undefined) {
    answers = new Map();
    ANSWERS.set(refusal, answers);
  }
  let answer = answers.get(dialect);
  if (answer === undefined) {
    answer = compose(refusal, dialect);
    answers.set(dialect, answer);
  }
  return answer;
}

/** The content type of the answer, which names its protocol: one of a few, whatever the client has sent. */
function dialectOf({ status }: Rejection, contentType: string | undefined, isHttp2: boolean): string {
  if (contentType === undefined) return JSON_TYPE;
  const format = formatOf(contentType);
  const type = format?.type ?? essenceOf(contentType);
  if (type.startsWith(GRPC_WEB_TYPE)) return format?.type ?? GRPC_WEB_TYPE;
  if (type.startsWith(GRPC_TYPE)) return isHttp2 ? (format?.type ?? GRPC_TYPE) : JSON_TYPE;
  return format?.protocol === 'connect-stream' && status !== 415 ? format.type : JSON_TYPE;
}

function compose(refusal: Rejection, dialect: string): RejectionAnswer {
  const error = new ConnectError(refusal.message, refusal.code, undefined, [errorInfo(refusal.reason)]);
  const fields = [...refusal.fields, 'cache-control', 'no-store', 'content-type', dialect];
  if (dialect === JSON_TYPE) return { status: refusal.status, fields, body: errorToJsonBytes(error, undefined) };
  if (!dialect.startsWith(GRPC_TYPE)) {
    const end = createEndStreamSerialization(undefined).serialize({ error, metadata: new Headers() });
    return { status: 200, fields, body: encodeEnvelope(endStreamFlag, end) };
  }
  const trailer = setTrailerStatus(new Headers(), error);
  trailer.set('grpc-message', percentEncode(refusal.message));
  if (dialect.startsWith(GRPC_WEB_TYPE)) {
    return { status: 200, fields, body: encodeEnvelope(trailerFlag, trailerSerialize(trailer)) };
  }
  return { status: 200, fields: [...fields, ...[...trailer].flat()], body: undefined };
}

/** There are few rejections, the same for all clients. Each answer is composed once, for floods of them. */
const ANSWERS = new WeakMap<Rejection, Map<string, RejectionAnswer>>();

const JSON_TYPE = 'application/json';
const GRPC_TYPE = 'application/grpc';
const GRPC_WEB_TYPE = 'application/grpc-web';
