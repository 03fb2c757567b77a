import { constants, type IncomingHttpHeaders, type OutgoingHttpHeaders, type ServerHttp2Stream } from 'node:http2';
import { type Carrier, LARGE_RESPONSE_BYTES, type ResponseEnd, type UnaryResponse } from './carrier.ts';
import type { UnaryRecord } from './unary-settings.ts';

/** A call over HTTP/2, on Node's stream itself: its compatibility layer makes a request and a response of each. */
export class Http2Carrier implements Carrier {
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly fields: readonly string[];
  bytesRead = 0;
  complete = false;
  #sent = false;
  #gone: (() => void) | undefined;

  /** @param fields names and values in turn, as Node gives them with the stream. */
  constructor(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, fields: readonly string[], record: UnaryRecord) {
    this.#stream = stream;
    this.#headers = headers;
    this.fields = fields;
    // What fails is followed by `close`.
    stream.on('error', ignore);
    stream.on('close', () => {
      record.streamClosed(stream);
      if (!this.#sent) this.#gone?.();
    });
  }

  get url(): string {
    const headers = this.#headers;
    return `${headers[':scheme']}://${headers[':authority'] ?? headers.host}${headers[':path']}`;
  }

  readBody(maxBytes: number, done: (body: Buffer | undefined) => void): void {
    let first: Buffer | undefined;
    let rest: Buffer[] | undefined;
    let length = 0;
    this.#stream.on('data', (chunk: Buffer) => {
      length += chunk.length;
      this.bytesRead = length;
      if (this.#sent || length - chunk.length > maxBytes) return;
      if (length > maxBytes) {
        first = rest = undefined;
        done(undefined);
      } else if (first === undefined) first = chunk;
      else if (rest === undefined) rest = [first, chunk];
      else rest.push(chunk);
    });
    this.#stream.on('end', () => {
      this.complete = true;
      if (length <= maxBytes) done(rest === undefined ? (first ?? EMPTY) : Buffer.concat(rest, length));
    });
  }

  onGone(gone: () => void): void {
    this.#gone = gone;
  }

  cut(): void {
    this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  }

  send({ status, fields, body, trailers }: UnaryResponse, ended: (end: ResponseEnd) => void): void {
    this.#sent = true;
    const stream = this.#stream;
    if (stream.destroyed || stream.closed) {
      ended({ status, bytesWritten: 0, aborted: true });
      return;
    }
    const bytes =
      this.#headers[':method'] === 'HEAD' ? undefined : trailers === undefined ? body?.bytes : body?.envelope;
    const headers: OutgoingHttpHeaders = { ':status': status };
    for (let i = 0; i < fields.length; i += 2) append(headers, fields[i] as string, fields[i + 1] as string);
    if (trailers === undefined) {
      if (status !== 304) headers['content-length'] = body?.bytes.length ?? 0;
      stream.respond(headers, bytes === undefined ? END_STREAM : undefined);
    } else {
      stream.respond(headers, WAIT_FOR_TRAILERS);
      stream.on('wantTrailers', () => stream.sendTrailers(trailers));
    }
    const bytesWritten = bytes?.length ?? 0;
    if (bytesWritten > LARGE_RESPONSE_BYTES) {
      stream.once('close', () =>
        ended({ status, bytesWritten, aborted: stream.rstCode !== constants.NGHTTP2_NO_ERROR }),
      );
      stream.end(bytes);
    } else {
      if (bytes !== undefined) stream.end(bytes);
      else if (trailers !== undefined) stream.end();
      ended({ status, bytesWritten, aborted: false });
    }
    if (!this.complete && !stream.endAfterHeaders) stopUnreadBody(stream);
  }
}

/**
 * When the response is out and the request is not in: reads on for a moment, since clients exist that take being stopped for a
 * failure and never look at the answer; then asks for no more, without an error (RFC 9113, 8.1).
 */
export function stopUnreadBody(stream: ServerHttp2Stream): void {
  if (stream.readableEnded || stream.closed) return;
  stream.resume();
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), LINGER_MS);
  stream.once('close', () => clearTimeout(timer));
}

function append(headers: OutgoingHttpHeaders, name: string, value: string): void {
  const given = headers[name];
  if (given === undefined) headers[name] = value;
  else headers[name] = Array.isArray(given) ? [...given, value] : [String(given), value];
}

function ignore(): void {}

/** Enough for the answer to cross an ocean and back. */
const LINGER_MS = 500;
const EMPTY = Buffer.alloc(0);
const END_STREAM = Object.freeze({ endStream: true });
const WAIT_FOR_TRAILERS = Object.freeze({ waitForTrailers: true });
