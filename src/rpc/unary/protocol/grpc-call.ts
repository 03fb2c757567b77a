import { Code, ConnectError } from '@connectrpc/connect';
import { setTrailerStatus } from '@connectrpc/connect/protocol-grpc';
import { percentEncode } from '#src/rpc/percent-encode.ts';
import type { UnaryCallInit } from '#src/rpc/unary/protocol/call-context.ts';
import { addTrailers, pushMetadata } from '#src/rpc/unary/protocol/metadata.ts';
import { tooLarge, UnaryCall } from '#src/rpc/unary/protocol/unary-call.ts';
import { contentCodingOf } from '#src/wire/content-coding.ts';
import type { AnswerMessage } from '#src/wire/http-exchange.ts';

/** A unary call of gRPC over HTTP/2 (https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md). */
export class GrpcCall extends UnaryCall {
  override readonly protocolName = 'grpc';
  protected override readonly binary: boolean;
  protected override readonly framingBytes = PREFIX_LENGTH;

  constructor(init: UnaryCallInit, binary: boolean) {
    super(init);
    this.binary = binary;
  }

  protected override get acceptedEncodings(): string | undefined {
    const { grpcAcceptEncoding, grpcEncoding } = this.init.head;
    return grpcAcceptEncoding ?? grpcEncoding;
  }

  protected override receive(body: Buffer): void {
    if (body.length === 0) {
      this.refuse(new ConnectError('protocol error: missing input message for unary method', Code.Unimplemented));
      return;
    }
    const length = messageLength(body);
    const { readMaxBytes } = this.init.settings;
    if (length > readMaxBytes) {
      this.refuse(tooLarge(readMaxBytes));
      return;
    }
    if (length < 0 || body.length < PREFIX_LENGTH + length) {
      this.refuse(new ConnectError('protocol error: incomplete envelope', Code.InvalidArgument));
      return;
    }
    if (body.length > PREFIX_LENGTH + length) {
      const rest = body.subarray(PREFIX_LENGTH + length);
      const next = messageLength(rest);
      const isWhole = next >= 0 && rest.length >= PREFIX_LENGTH + next;
      const error = isWhole
        ? new ConnectError('protocol error: received extra input message for unary method', Code.Unimplemented)
        : new ConnectError('protocol error: incomplete envelope', Code.InvalidArgument);
      this.refuse(error);
      return;
    }
    const flags = body[0] as number;
    if (flags > COMPRESSED) {
      const message = `protocol error: the flags of a message must be 0 or 1, not ${flags}`;
      this.refuse(new ConnectError(message, Code.InvalidArgument));
      return;
    }
    const message = body.subarray(PREFIX_LENGTH);
    const encoding = contentCodingOf(this.init.head.grpcEncoding);
    if (flags === 0) this.parse(message);
    else if (encoding !== undefined) this.decompress(encoding, message);
    else
      this.refuse(new ConnectError('received compressed envelope, but do not know how to decompress', Code.Internal));
  }

  protected override sendMessage(encoded: AnswerMessage, encoding: string | undefined): void {
    this.init.settings.succeeded(this.init.record);
    const fields = this.#fields();
    if (encoding !== undefined) fields.push('grpc-encoding', encoding);
    this.send({ status: 200, fields, body: encoded, trailers: this.hasResponseTrailer ? this.#trailers() : OK });
  }

  #trailers(): Record<string, string | string[]> {
    const trailers: Record<string, string | string[]> = { ...OK };
    addTrailers(trailers, this.responseTrailer);
    return trailers;
  }

  protected override sendError(error: ConnectError): void {
    const trailers: Record<string, string | string[]> = this.hasResponseTrailer ? this.#trailers() : {};
    setTrailerStatus(new Headers(), wellFormed(error)).forEach((value, name) => {
      trailers[name] = value;
    });
    trailers['grpc-message'] = percentEncode(error.rawMessage);
    const fields = this.#fields();
    // "The response will include a grpc-accept-encoding" (gRPC, "Compression"): the encodings that would have been accepted.
    if (error.code === Code.Unimplemented) {
      fields.push('grpc-accept-encoding', ['identity', ...this.init.settings.encodings].join(','));
    }
    // In one block if possible: some clients stop sending their body once an answer has begun, and would never see its end.
    this.send({ status: 200, fields, body: undefined, trailers, isTrailersOnly: !this.hasResponseHeader });
  }

  #fields(): string[] {
    const { fields } = this.init;
    fields.push('content-type', this.binary ? 'application/grpc+proto' : 'application/grpc+json');
    if (this.hasResponseHeader) pushMetadata(fields, this.responseHeader, '');
    return fields;
  }
}

/** The error with a message that can be escaped, which an unpaired surrogate cannot. */
function wellFormed(error: ConnectError): ConnectError {
  const { rawMessage, code, metadata, details } = error;
  if (rawMessage.isWellFormed()) return error;
  return Object.assign(new ConnectError(rawMessage.toWellFormed(), code, metadata), { details });
}

/** The length in the prefix; -1 if the prefix is incomplete. */
function messageLength(envelope: Buffer): number {
  return envelope.length < PREFIX_LENGTH ? -1 : envelope.readUInt32BE(1);
}

/** One byte of flags and four bytes of length. */
const PREFIX_LENGTH = 5;
const COMPRESSED = 1;
const OK = Object.freeze({ 'grpc-status': '0' });
