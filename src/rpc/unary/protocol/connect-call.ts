import { Code, type ConnectError } from '@connectrpc/connect';
import { codeToHttpStatus, errorToJsonBytes } from '@connectrpc/connect/protocol-connect';
import type { UnaryCallInit } from '#src/rpc/unary/protocol/call-context.ts';
import type { GetQuery } from '#src/rpc/unary/protocol/get-query.ts';
import { pushMetadata } from '#src/rpc/unary/protocol/metadata.ts';
import { UnaryCall } from '#src/rpc/unary/protocol/unary-call.ts';
import { contentCodingOf } from '#src/wire/content-coding.ts';
import { EncodedMessage } from '#src/wire/encoded-message.ts';
import type { AnswerMessage } from '#src/wire/http-exchange.ts';

/**
 * A unary call of the Connect protocol (https://connectrpc.com/docs/protocol), by POST, or by GET (and HEAD) for an RPC without
 * side effects.
 */
export class ConnectCall extends UnaryCall {
  override readonly protocolName = 'connect';
  protected override readonly binary: boolean;
  protected override readonly framingBytes = 0;
  #refusedStatus: number | undefined;

  constructor(init: UnaryCallInit, binary: boolean) {
    super(init);
    this.binary = binary;
  }

  /** Starts a call by GET, with its message in the URL. */
  readQuery({ message, compression }: GetQuery): void {
    this.watch(Number.POSITIVE_INFINITY);
    if (compression === undefined) this.parse(message);
    else this.decompress(compression, message as Buffer);
  }

  /** Answers an unreadable call by GET with this HTTP status. */
  refuseQuery(error: ConnectError | undefined, status: number): void {
    this.#refusedStatus = status;
    this.refuse(error);
  }

  protected override get acceptedEncodings(): string | undefined {
    const { acceptEncoding, contentEncoding, method } = this.init.head;
    // A client that compresses, and names no accepted encoding, can read the same. With GET it sends no body, and caches look only at
    // Accept-Encoding.
    return method === 'POST' ? (acceptEncoding ?? contentEncoding) : acceptEncoding;
  }

  protected override receive(body: Buffer): void {
    const encoding = contentCodingOf(this.init.head.contentEncoding);
    if (encoding === undefined) this.parse(body);
    else this.decompress(encoding, body);
  }

  protected override sendMessage(encoded: AnswerMessage, encoding: string | undefined): void {
    this.init.settings.succeeded(this.init.record);
    const { fields } = this.init;
    fields.push('content-type', this.binary ? 'application/proto' : 'application/json');
    if (encoding !== undefined) fields.push('content-encoding', encoding);
    this.#pushMetadata(fields);
    if (this.init.head.method === 'POST') {
      this.send({ status: 200, fields, body: encoded, trailers: undefined });
      return;
    }
    const { cacheControl } = this.init.method;
    // The handler's value for this answer wins over the configured one.
    const isSaid = this.hasResponseHeader && this.responseHeader.has('cache-control');
    if (cacheControl !== undefined && !isSaid) fields.push('cache-control', cacheControl);
    const vary = fields.indexOf('vary');
    if (vary < 0) fields.push('vary', 'Accept-Encoding');
    else fields[vary + 1] += ', Accept-Encoding';
    fields.push('etag', encoded.etag);
    const { ifNoneMatch } = this.init.head;
    if (ifNoneMatch !== undefined && matches(ifNoneMatch, encoded.etag)) {
      this.send({ status: 304, fields, body: undefined, trailers: undefined });
    } else {
      this.send({ status: 200, fields, body: encoded, trailers: undefined });
    }
  }

  protected override sendError(error: ConnectError): void {
    const { fields } = this.init;
    fields.push('content-type', 'application/json');
    // RFC 9110, 12.5.3: the encodings that would have been accepted.
    if (error.code === Code.Unimplemented) fields.push('accept-encoding', this.init.settings.encodings.join(', '));
    // Caches may keep some errors by default, such as a 404 (RFC 9110, 15.1).
    if (this.init.head.method !== 'POST') fields.push('cache-control', 'no-store');
    this.#pushMetadata(fields);
    pushMetadata(fields, error.metadata, '');
    const body = new EncodedMessage(errorToJsonBytes(error, undefined));
    const status = this.#refusedStatus ?? codeToHttpStatus(error.code);
    this.send({ status, fields, body, trailers: undefined });
  }

  #pushMetadata(fields: string[]): void {
    if (this.hasResponseHeader) pushMetadata(fields, this.responseHeader, '');
    // The trailers of unary calls are header fields with this prefix.
    if (this.hasResponseTrailer) pushMetadata(fields, this.responseTrailer, 'trailer-');
  }
}

/**
 * Whether If-None-Match names this entity tag, or any (RFC 9110, 13.1.2). The comparison is weak, because a cache may have weakened the
 * tag.
 */
export function matches(ifNoneMatch: string, etag: string): boolean {
  if (ifNoneMatch === etag || ifNoneMatch === '*') return true;
  return ifNoneMatch.split(',').some(one => one.trim().replace(/^W\//, '') === etag);
}
