import type { DescMessage } from '@bufbuild/protobuf';
import { base64Decode, base64Encode } from '@bufbuild/protobuf/wire';
import { Code, ConnectError } from '@connectrpc/connect';
import {
  type Compression,
  createAsyncIterable,
  encodeEnvelope,
  readAllBytes,
  transformSplitEnvelope,
  type UniversalHandler,
  type UniversalServerRequest,
  type UniversalServerResponse,
} from '@connectrpc/connect/protocol';
import { codeToHttpStatus, errorToJsonBytes } from '@connectrpc/connect/protocol-connect';
import { checkBinary, checkTexts } from '#gen/strict-binary.js';
import { checkJson } from '#gen/strict-json.js';
import { decodeText } from '#gen/strict-messages.js';
import { explainFramingError } from '#src/rpc/error-mapping.ts';
import { malformed } from '#src/rpc/unary/decode-request.ts';

/** How requests may be compressed, and how large they may be. */
export interface RequestLimits {
  readonly acceptCompression: readonly Compression[];
  readonly requestMaxBytes: number;
}

/** Has connect-node answer a request, whose messages are checked first. */
export async function answerStrictly(
  handler: UniversalHandler,
  request: UniversalServerRequest,
  limits: RequestLimits,
): Promise<UniversalServerResponse> {
  let strict: UniversalServerRequest;
  try {
    strict = await strictRequest(request, handler.method.input, limits);
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    const header = new Headers({ 'content-type': 'application/json' });
    const body = createAsyncIterable([errorToJsonBytes(error, undefined)]);
    return { status: codeToHttpStatus(error.code), header, body };
  }
  return handler(strict);
}

/**
 * Checks the messages of a request before connect-node decodes them, since it has no place where a decoder could be given. They come
 * out as they were sent, or, where protobuf-es would misread them, in other bytes that mean the same; and uncompressed.
 *
 * What else is wrong with a request is left to connect-node, which says so.
 *
 * @throws ConnectError for a GET. That of another request is thrown where its body is read.
 */
async function strictRequest(
  request: UniversalServerRequest,
  input: DescMessage,
  limits: RequestLimits,
): Promise<UniversalServerRequest> {
  const { header, body } = request;
  if (request.method === 'GET') return { ...request, url: await strictUrl(request.url, input, limits) };
  if (body === null || typeof body !== 'object' || !(Symbol.asyncIterator in body)) return request;
  const bytes = body as AsyncIterable<Uint8Array>;
  const type = (header.get('content-type') ?? '').toLowerCase();
  const check = (message: Uint8Array) => checked(input, message, !type.includes('json'));
  if (type.startsWith('application/connect+') || type.startsWith('application/grpc')) {
    const encoding = header.get(type.includes('grpc') ? 'grpc-encoding' : 'connect-content-encoding');
    return { ...request, body: strictEnvelopes(bytes, check, find(encoding, limits), limits) };
  }
  const encoding = header.get('content-encoding') ?? 'identity';
  const compression = find(encoding, limits);
  if (compression === undefined && encoding !== 'identity') return request;
  const plain = new Headers(header);
  plain.delete('content-encoding');
  plain.delete('content-length');
  // Who says nothing of what it takes gets what it sends.
  if (compression !== undefined && !header.get('accept-encoding')) plain.set('accept-encoding', encoding);
  const length = header.get('content-length');
  return { ...request, header: plain, body: strictBody(bytes, check, compression, length, limits) };
}

async function* strictBody(
  body: AsyncIterable<Uint8Array>,
  check: Check,
  compression: Compression | undefined,
  length: string | null,
  { requestMaxBytes }: RequestLimits,
): AsyncIterable<Uint8Array> {
  const bytes = await readAllBytes(body, requestMaxBytes, length);
  yield check(compression === undefined ? bytes : await compression.decompress(bytes, requestMaxBytes));
}

async function* strictEnvelopes(
  body: AsyncIterable<Uint8Array>,
  check: Check,
  compression: Compression | undefined,
  { requestMaxBytes }: RequestLimits,
): AsyncIterable<Uint8Array> {
  const iterator = body[Symbol.asyncIterator]() as AsyncIterableIterator<Uint8Array>;
  for await (const { flags, data } of transformSplitEnvelope(requestMaxBytes)(iterator)) {
    const isCompressed = (flags & COMPRESSED) !== 0;
    // Of flags that it does not know, and of a compression that nothing names, connect-node says what is wrong.
    if ((flags & ~COMPRESSED) !== 0 || (isCompressed && compression === undefined)) yield encodeEnvelope(flags, data);
    else if (!isCompressed || compression === undefined) yield encodeEnvelope(0, check(data));
    else yield encodeEnvelope(0, check(await compression.decompress(data, requestMaxBytes)));
  }
}

/** The same call with its message in base64, which can't be misread. */
async function strictUrl(url: string, input: DescMessage, limits: RequestLimits): Promise<string> {
  const strict = new URL(url);
  const { searchParams } = strict;
  const encoding = searchParams.get('encoding');
  const compressionName = searchParams.get('compression') ?? 'identity';
  const compression = find(compressionName, limits);
  const isKnown = compression !== undefined || compressionName === 'identity';
  if ((encoding !== 'json' && encoding !== 'proto') || !isKnown) return url;
  const text = messageOf(strict.search);
  const sent = searchParams.get('base64') === '1' ? fromBase64(text) : new TextEncoder().encode(text);
  const plain = compression === undefined ? sent : await compression.decompress(sent, limits.requestMaxBytes);
  searchParams.set('message', base64Encode(checked(input, plain, encoding === 'proto'), 'url'));
  searchParams.set('base64', '1');
  searchParams.delete('compression');
  return strict.href;
}

/** The first parameter `message`. URLSearchParams would have U+FFFD for bytes that are no UTF-8. */
function messageOf(search: string): string {
  const isMessage = (parameter: string) => new URLSearchParams(parameter).has('message');
  const parameter = search.slice(1).split('&').find(isMessage) ?? '';
  const escaped = parameter.slice(parameter.indexOf('=') + 1 || parameter.length);
  try {
    return decodeURIComponent(escaped.replaceAll('+', ' '));
  } catch {
    throw new ConnectError('the query parameter message must be percent-encoded UTF-8', Code.InvalidArgument);
  }
}

function fromBase64(text: string): Uint8Array {
  try {
    return base64Decode(text);
  } catch {
    throw new ConnectError('the query parameter message must be base64', Code.InvalidArgument);
  }
}

function checked(input: DescMessage, message: Uint8Array, binary: boolean): Uint8Array {
  try {
    if (!binary) {
      checkJson(input, decodeText(message));
      return message;
    }
    checkTexts(input, message);
    return checkBinary(input, message);
  } catch (error) {
    const refusal = malformed(error);
    // In full, since the error passes connect-node in the form in which it is sent, without its cause.
    throw refusal instanceof ConnectError ? explainFramingError(refusal) : refusal;
  }
}

function find(name: string | null, { acceptCompression }: RequestLimits): Compression | undefined {
  return acceptCompression.find(compression => compression.name === name);
}

type Check = (message: Uint8Array) => Uint8Array;

const COMPRESSED = 1;
