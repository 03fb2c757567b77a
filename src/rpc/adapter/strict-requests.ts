import type { DescMessage, DescMethod } from '@bufbuild/protobuf';
import { Code, ConnectError } from '@connectrpc/connect';
import {
  type Compression,
  encodeEnvelope,
  readAllBytes,
  transformSplitEnvelope,
  type UniversalServerRequest,
} from '@connectrpc/connect/protocol';
import { checkBinary, checkTexts } from '#client/strict-binary.ts';
import { checkJson } from '#client/strict-json.ts';
import { decodeText } from '#client/strict-messages.ts';
import { explainFramingError } from '#src/rpc/error-mapping.ts';
import type { Format } from '#src/rpc/media-type.ts';
import { malformed } from '#src/rpc/unary/codec/decode-request.ts';
import { tooLarge } from '#src/rpc/unary/protocol/unary-call.ts';

/** The accepted compressions of requests, and the largest size of their messages. */
export interface RequestLimits {
  readonly acceptCompression: readonly Compression[];
  readonly requestMaxBytes: number;
}

/**
 * Checks the messages of a POST before connect-node decodes them, because connect-node accepts no other decoder. The messages leave
 * unchanged, or as other bytes with the same meaning if protobuf-es would misread them, and uncompressed.
 *
 * It refuses invalid flags, and a body that announces too large a size before it arrives. connect-node reports other faults.
 *
 * @returns the request with another body, which fails with a ConnectError if its bytes are wrong.
 */
export function strictRequest(
  request: UniversalServerRequest,
  format: Format,
  method: DescMethod,
  limits: RequestLimits,
): UniversalServerRequest {
  const { header } = request;
  const bytes = request.body as AsyncIterable<Uint8Array>;
  const isUnaryOfConnect = format.protocol === 'connect';
  if (
    isOneMessage(method) &&
    Number(header.get('content-length')) > limits.requestMaxBytes + FRAMING_BYTES[format.protocol]
  ) {
    return { ...request, body: failing(tooLarge(limits.requestMaxBytes)) };
  }
  const check = (message: Uint8Array) => checked(method.input, message, format.binary);
  const encoding = header.get(ENCODING_FIELDS[format.protocol]) ?? 'identity';
  const compression = limits.acceptCompression.find(({ name }) => name === encoding);
  if (!isUnaryOfConnect) return { ...request, body: strictEnvelopes(bytes, check, compression, limits) };
  if (compression === undefined && encoding !== 'identity') return request;
  const plain = new Headers(header);
  plain.delete('content-encoding');
  plain.delete('content-length');
  // A client that names no accepted encoding gets the one that it sends.
  if (compression !== undefined && !header.get('accept-encoding')) plain.set('accept-encoding', encoding);
  return {
    ...request,
    header: plain,
    body: strictBody(bytes, check, compression, header.get('content-length'), limits),
  };
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
    if (flags > COMPRESSED) {
      throw new ConnectError(`the flags of a message must be 0 or 1, not ${flags}`, Code.InvalidArgument);
    }
    if (flags === 0) yield encodeEnvelope(0, check(data));
    // connect-node reports a compression that no header names.
    else if (compression === undefined) yield encodeEnvelope(flags, data);
    else yield encodeEnvelope(0, check(await compression.decompress(data, requestMaxBytes)));
  }
}

// biome-ignore lint/correctness/useYield: it fails before it has anything to give.
async function* failing(error: ConnectError): AsyncGenerator<Uint8Array> {
  throw error;
}

function isOneMessage({ methodKind }: DescMethod): boolean {
  return methodKind === 'unary' || methodKind === 'server_streaming';
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
    // With all details, because the error passes connect-node in the form in which it is sent, without its cause.
    throw refusal instanceof ConnectError ? explainFramingError(refusal) : refusal;
  }
}

type Check = (message: Uint8Array) => Uint8Array;

const COMPRESSED = 1;
/** Where each protocol names the compression of its messages. */
const ENCODING_FIELDS: Readonly<Record<Format['protocol'], string>> = {
  connect: 'content-encoding',
  'connect-stream': 'connect-content-encoding',
  grpc: 'grpc-encoding',
  'grpc-web': 'grpc-encoding',
};
/** The prefix of a message: one byte of flags, and four bytes of length. */
const FRAMING_BYTES: Readonly<Record<Format['protocol'], number>> = {
  connect: 0,
  'connect-stream': 5,
  grpc: 5,
  'grpc-web': 5,
};
