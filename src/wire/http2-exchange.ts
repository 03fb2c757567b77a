import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import type { CallRecord } from '#src/wire/call-record.ts';
import { EncodedMessage } from '#src/wire/encoded-message.ts';
import {
  type HttpExchange,
  LARGE_RESPONSE_BYTES,
  type ResponseEnded,
  type UnaryResponse,
} from '#src/wire/http-exchange.ts';
import { PIECE_BYTES, sendPieces } from '#src/wire/pieces.ts';

/**
 * A call over HTTP/2 on Node's stream, without the request and response of its compatibility layer.
 *
 * Node keeps streams, and what their listeners hold, for some time after they have closed. So listeners hold only this object, which
 * releases the call when the stream closes. Without that, garbage collection took a fifth of the time.
 */
export class Http2Exchange implements HttpExchange {
  readonly #stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  readonly fields: readonly string[];
  bytesRead = 0;
  complete = false;
  #sent = false;
  #maxBytes = 0;
  #chunks: Buffer | Buffer[] | undefined;
  #record: CallRecord | undefined;
  #done: ((body: Buffer | undefined) => void) | undefined;
  #gone: (() => void) | undefined;
  #closing: (() => void) | undefined;

  /** @param fields the names and values that Node gives with the stream, in turn. */
  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, fields: readonly string[], record: CallRecord) {
    this.#stream = stream;
    this.headers = headers;
    this.fields = fields;
    this.#record = record;
    // `close` follows a failure.
    stream.on('error', ignore);
    stream.on('close', () => this.#close());
  }

  get url(): string {
    const { headers } = this;
    return `${headers[':scheme']}://${headers[':authority'] ?? headers.host}${headers[':path']}`;
  }

  readBody(maxBytes: number, done: (body: Buffer | undefined) => void): void {
    this.#maxBytes = maxBytes;
    this.#done = done;
    this.#stream.on('data', (chunk: Buffer) => this.#read(chunk));
    this.#stream.on('end', () => this.#end());
  }

  onGone(gone: () => void): void {
    this.#gone = gone;
  }

  cut(why: 'fault' | 'stalled'): void {
    const stream = this.#stream;
    if (!stream.closed) stream.close(constants[why === 'fault' ? 'NGHTTP2_INTERNAL_ERROR' : 'NGHTTP2_CANCEL']);
  }

  send(
    { status, fields, body, trailers, isTrailersOnly }: UnaryResponse,
    ended: ResponseEnded,
    moved: () => void,
  ): void {
    this.#sent = true;
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) {
      ended(0, true);
      return;
    }
    const sent = this.headers[':method'] === 'HEAD' ? undefined : body;
    const isEnveloped = trailers !== undefined;
    const head = [':status', String(status), ...fields];
    if (trailers === undefined) {
      if (status !== 304) head.push('content-length', String(body?.length ?? 0));
      stream.respond(head, sent === undefined ? END_STREAM : undefined);
    } else if (isTrailersOnly) {
      for (const [name, values] of Object.entries(trailers))
        for (const value of [values].flat()) head.push(name, value);
      stream.respond(head, END_STREAM);
    } else {
      stream.respond(head, WAIT_FOR_TRAILERS);
      sendTrailersAtEnd(stream, trailers);
    }
    const bytesWritten = sent === undefined ? 0 : sent.length + (isEnveloped ? PREFIX_LENGTH : 0);
    const isWhole = sent instanceof EncodedMessage && bytesWritten <= PIECE_BYTES;
    if (bytesWritten > LARGE_RESPONSE_BYTES) {
      this.#closing = () => ended(bytesWritten, stream.rstCode !== constants.NGHTTP2_NO_ERROR);
    }
    if (sent !== undefined && !isWhole) sendPieces(stream, sent.pieces(isEnveloped), moved);
    else {
      if (sent !== undefined) stream.end(isEnveloped ? sent.envelope : sent.bytes);
      else if (trailers !== undefined && !isTrailersOnly) stream.end();
      if (this.#closing === undefined) ended(bytesWritten, false);
    }
    if (!this.complete && !stream.endAfterHeaders) stopUnreadBody(stream);
  }

  #read(chunk: Buffer): void {
    const before = this.bytesRead;
    this.bytesRead += chunk.length;
    if (this.#sent || before > this.#maxBytes) return;
    if (this.bytesRead > this.#maxBytes) {
      this.#chunks = undefined;
      this.#done?.(undefined);
    } else if (this.#chunks === undefined) this.#chunks = chunk;
    else if (Array.isArray(this.#chunks)) this.#chunks.push(chunk);
    else this.#chunks = [this.#chunks, chunk];
  }

  #end(): void {
    // Node also ends a partial body when the client has reset the stream; `close` follows.
    if (this.#stream.closed) return;
    this.complete = true;
    if (this.bytesRead > this.#maxBytes) return;
    const chunks = this.#chunks ?? EMPTY;
    this.#chunks = undefined;
    this.#done?.(Array.isArray(chunks) ? Buffer.concat(chunks, this.bytesRead) : chunks);
  }

  #close(): void {
    this.#record?.connection?.streamClosed(this.#stream);
    if (!this.#sent) this.#gone?.();
    this.#closing?.();
    this.#record = this.#done = this.#gone = this.#closing = this.#chunks = undefined;
  }
}

/** A separate function, so that the listener holds only the trailers. */
function sendTrailersAtEnd(stream: ServerHttp2Stream, trailers: OutgoingHttpHeaders): void {
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
}

/**
 * If the response has left before the request has arrived, it reads on for a moment: some clients treat a stop as a failure, and ignore the
 * answer. Then it stops the request without an error (RFC 9113, 8.1).
 */
export function stopUnreadBody(stream: ServerHttp2Stream): void {
  if (stream.readableEnded || stream.closed) return;
  stream.resume();
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), LINGER_MS);
  stream.once('close', () => clearTimeout(timer));
}

function ignore(): void {}

/** Enough for the answer to cross an ocean and back. */
const LINGER_MS = 500;
const EMPTY = Buffer.alloc(0);
/** The length of an envelope's prefix. */
const PREFIX_LENGTH = 5;
const END_STREAM = Object.freeze({ endStream: true });
const WAIT_FOR_TRAILERS = Object.freeze({ waitForTrailers: true });
