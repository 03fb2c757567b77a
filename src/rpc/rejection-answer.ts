import { ConnectError } from '@connectrpc/connect';
import { encodeEnvelope } from '@connectrpc/connect/protocol';
import { createEndStreamSerialization, endStreamFlag, errorToJsonBytes } from '@connectrpc/connect/protocol-connect';
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { trailerFlag, trailerSerialize } from '@connectrpc/connect/protocol-grpc-web';
import { errorInfo } from '#src/rpc/error-details.ts';
import { essenceOf, formatOf } from '#src/rpc/media-type.ts';
import { percentEncode } from '#src/rpc/percent-encode.ts';
import type { Rejection } from '#src/rpc/rejection.ts';

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
