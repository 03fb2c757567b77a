import { Code, ConnectError } from '@connectrpc/connect';
import {
  createAsyncIterable,
  encodeEnvelope,
  readAllBytes,
  type UniversalServerResponse,
} from '@connectrpc/connect/protocol';
import {
  codeToHttpStatus,
  codeToString,
  createEndStreamSerialization,
  endStreamFlag,
  errorFromJsonBytes,
  errorToJsonBytes,
  headerContentType,
} from '@connectrpc/connect/protocol-connect';
import { findTrailerError, headerGrpcMessage, setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { trailerFlag, trailerParse, trailerSerialize } from '@connectrpc/connect/protocol-grpc-web';
import { explainFramingError, explainWriteError } from '#src/rpc/error-mapping.ts';
import { withoutNeedlessEscapes } from '#src/rpc/percent-encode.ts';
import type { CallRecord } from '#src/wire/call-record.ts';

export interface ProtocolErrorOptions {
  /** Translates a framing error for the client. Default: with an ErrorInfo, as all of ours have. */
  readonly translate?: ((error: ConnectError) => ConnectError) | undefined;
}

/**
 * Gives Connect's framing errors an ErrorInfo, and INVALID_ARGUMENT instead of INTERNAL for bytes that are not a message. These errors
 * arise before the stages run. So a call without an outcome, whose response has an error, had one of them.
 */
export async function explainProtocolError(
  response: UniversalServerResponse,
  call: CallRecord,
  options: ProtocolErrorOptions = {},
): Promise<UniversalServerResponse> {
  const explain = createExplain(call, options.translate);
  if (call.protocol === 'grpc') {
    return { ...response, body: withTrailer(response, trailer => explainTrailer(trailer, explain)) };
  }
  if (call.protocol === 'grpc-web') {
    return { ...response, body: mapEnvelopes(response, trailerFlag, data => explainWebTrailer(data, explain)) };
  }
  if (response.header?.get(headerContentType)?.startsWith('application/connect+')) {
    return { ...response, body: mapEnvelopes(response, endStreamFlag, data => explainEndStream(data, explain)) };
  }
  if (response.status === 200 || response.body === undefined) return response;
  return explainUnary(response, response.body, explain);
}

/**
 * The answer if Connect could not write its own error, in gRPC and gRPC-Web: the error quotes an unpaired surrogate, which JSON can escape
 * and no header field can hold.
 */
export function answerUnquotable(
  contentType: string,
  call: CallRecord,
  options: ProtocolErrorOptions = {},
): UniversalServerResponse {
  const message = 'the message must be JSON of Unicode text, and has an unpaired surrogate: half of a surrogate pair';
  const error = translateProtocolError(call, new ConnectError(message, Code.InvalidArgument), options);
  const answer = { status: 200, header: new Headers({ [headerContentType]: contentType }) };
  const trailer = setTrailerStatus(new Headers(), error);
  if (call.protocol === 'grpc') return { ...answer, trailer };
  return { ...answer, body: createAsyncIterable([encodeEnvelope(trailerFlag, trailerSerialize(trailer))]) };
}

/** The same for an error of reading the message outside of connect-node. */
export function translateProtocolError(
  call: CallRecord,
  error: ConnectError,
  { translate = explainFramingError }: ProtocolErrorOptions = {},
): ConnectError {
  const explained = translate(error);
  call.code = codeToString(explained.code);
  call.cause ??= explained.cause;
  return explained;
}

/** The error for the client instead of one of Connect's. Undefined if it is not one of Connect's. */
function createExplain(call: CallRecord, translateRead: ((error: ConnectError) => ConnectError) | undefined): Explain {
  return error => {
    const isOurs = call.code !== undefined && !(call.answered && call.code === 'ok');
    if (error === undefined || isOurs) return undefined;
    return translateProtocolError(call, error, { translate: call.answered ? explainWriteError : translateRead });
  };
}

/** A unary error of Connect is the whole body, and sets the status. */
async function explainUnary(
  response: UniversalServerResponse,
  body: AsyncIterable<Uint8Array>,
  explain: Explain,
): Promise<UniversalServerResponse> {
  const bytes = await readAllBytes(body, ERROR_MAX_BYTES);
  const fallback = new ConnectError('malformed request', Code.InvalidArgument);
  const explained = explain(errorFromJsonBytes(bytes, undefined, fallback));
  if (explained === undefined) return { ...response, body: createAsyncIterable([bytes]) };
  return withBody({ ...response, status: codeToHttpStatus(explained.code) }, explained);
}

function withBody(response: UniversalServerResponse, error: ConnectError): UniversalServerResponse {
  const body = errorToJsonBytes(error, undefined);
  const header = new Headers(response.header);
  header.set(headerContentType, 'application/json');
  header.set('content-length', String(body.byteLength));
  header.delete('content-encoding');
  return { ...response, header, body: createAsyncIterable([body]) };
}

async function* withTrailer(
  { body, trailer }: UniversalServerResponse,
  explainEnd: (trailer: Headers) => void,
): AsyncIterable<Uint8Array> {
  if (body !== undefined) yield* body;
  if (trailer !== undefined) explainEnd(trailer);
}

function explainTrailer(trailer: Headers, explain: Explain): void {
  const explained = explain(findTrailerError(trailer));
  if (explained !== undefined) setTrailerStatus(trailer, explained);
  const message = trailer.get(headerGrpcMessage);
  if (message !== null) trailer.set(headerGrpcMessage, withoutNeedlessEscapes(message));
}

/** Rewrites the last envelope, which has the outcome. Each chunk of a response is one envelope. */
async function* mapEnvelopes(
  { body }: UniversalServerResponse,
  flag: number,
  rewrite: (data: Uint8Array) => Uint8Array | undefined,
): AsyncIterable<Uint8Array> {
  if (body === undefined) return;
  for await (const chunk of body) {
    const data = chunk[0] === flag ? rewrite(chunk.subarray(ENVELOPE_PREFIX_LENGTH)) : undefined;
    yield data === undefined ? chunk : encodeEnvelope(flag, data);
  }
}

function explainWebTrailer(data: Uint8Array, explain: Explain): Uint8Array | undefined {
  const trailer = trailerParse(data);
  const explained = explain(findTrailerError(trailer));
  return explained && trailerSerialize(setTrailerStatus(trailer, explained));
}

function explainEndStream(data: Uint8Array, explain: Explain): Uint8Array | undefined {
  const serialization = createEndStreamSerialization(undefined);
  const end = serialization.parse(data);
  const explained = explain(end.error);
  return explained && serialization.serialize({ ...end, error: explained });
}

/** More than any error that Connect itself makes. */
const ERROR_MAX_BYTES = 65_536;
/** One byte of flags, and four bytes of length. */
const ENVELOPE_PREFIX_LENGTH = 5;

type Explain = (error: ConnectError | undefined) => ConnectError | undefined;
