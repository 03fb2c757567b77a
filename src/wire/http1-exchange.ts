import { type IncomingHttpHeaders, IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { EncodedMessage } from '#src/wire/encoded-message.ts';
import {
  type HttpExchange,
  LARGE_RESPONSE_BYTES,
  type ResponseEnded,
  type UnaryResponse,
} from '#src/wire/http-exchange.ts';
import { PIECE_BYTES, sendPieces } from '#src/wire/pieces.ts';
import { type RequestHead, readHttp1Head } from '#src/wire/request-head.ts';

/**
 * The request class of the HTTP/1.1 server. Its body can be taken in chunks from the parser, without a stream in between. Until then it is
 * Node's own request, except that the connection survives a reader that stops.
 */
export class Http1Request extends IncomingMessage {
  /** The received bytes of the body. */
  bytesRead = 0;
  /** The relevant fields, read on demand. */
  #head: RequestHead | undefined;
  /** Set once all headers may be needed. */
  #isOffered = false;
  #take: ((chunk: Buffer | null) => void) | undefined;

  /** Takes the body: each chunk, then null. */
  takeBody(take: (chunk: Buffer | null) => void): void {
    this.#take = take;
    // Tells Node that the body is read. Otherwise it would read the rest itself after the response, for a microsecond.
    (this as { _consumed?: boolean })._consumed = true;
  }

  /** Hands the request over. From now on `headers` has all fields. */
  offer(): RequestHead {
    this.#isOffered = true;
    return this.#headOnly();
  }

  /** The fields that Node reads before it hands the request over. */
  get early(): { readonly host: string | undefined; readonly expect: string | undefined } | undefined {
    return this.#isOffered ? undefined : this.#headOnly();
  }

  #headOnly(): RequestHead {
    this.#head ??= readHttp1Head(this.method ?? '', this.url ?? '', this.rawHeaders);
    return this.#head;
  }

  /** Whether the body is taken in chunks, and not read as a stream. */
  get isTaken(): boolean {
    return this.#take !== undefined;
  }

  override push(chunk: Buffer | null, encoding?: BufferEncoding): boolean {
    if (chunk !== null) this.bytesRead += chunk.length;
    if (this.#take === undefined) return super.push(chunk, encoding);
    this.#take(chunk);
    return true;
  }

  // Node's own destroys the connection when a reader stops. The client of a body that is too large would then see a reset and no answer.
  override [Symbol.asyncIterator]() {
    return this.iterator({ destroyOnReturn: false });
  }
}

// Node checks for an expectation before it hands a request out, and would make an object of all headers for that: 5 % of a call.
Object.defineProperty(Http1Request.prototype, 'headers', {
  get(this: Http1Request): unknown {
    return this.early ?? Reflect.get(IncomingMessage.prototype, 'headers', this);
  },
  set(this: Http1Request, headers: unknown): void {
    Reflect.set(IncomingMessage.prototype, 'headers', headers, this);
  },
});

// Node keeps a request, and listens to it, until its body has been read to the end.
Object.defineProperty(Http1Request.prototype, 'readableEnded', {
  get(this: Http1Request): boolean {
    return this.isTaken ? this.complete : Reflect.get(IncomingMessage.prototype, 'readableEnded', this);
  },
});

/** A call over HTTP/1.1. */
export class Http1Exchange implements HttpExchange {
  readonly #request: Http1Request;
  readonly #response: ServerResponse;
  #gone: (() => void) | undefined;

  constructor(request: Http1Request, response: ServerResponse) {
    this.#request = request;
    this.#response = response;
  }

  get url(): string {
    const { socket, headers, url } = this.#request;
    return `${'encrypted' in socket ? 'https' : 'http'}://${headers.host}${url}`;
  }

  get fields(): readonly string[] {
    return this.#request.rawHeaders;
  }

  get headers(): IncomingHttpHeaders {
    return this.#request.headers;
  }

  get bytesRead(): number {
    return this.#request.bytesRead;
  }

  get complete(): boolean {
    return this.#request.complete;
  }

  readBody(maxBytes: number, done: (body: Buffer | undefined) => void): void {
    let first: Buffer | undefined;
    let rest: Buffer[] | undefined;
    let length = 0;
    this.#request.takeBody(chunk => {
      if (length > maxBytes) return;
      if (chunk === null) {
        done(rest === undefined ? (first ?? EMPTY) : Buffer.concat(rest, length));
        return;
      }
      length += chunk.length;
      if (length > maxBytes) {
        first = rest = undefined;
        done(undefined);
      } else if (first === undefined) first = chunk;
      else if (rest === undefined) rest = [first, chunk];
      else rest.push(chunk);
    });
  }

  onGone(gone: () => void): void {
    this.#gone = gone;
    callsOf(this.#request.socket).push(this);
  }

  cut(_why: 'fault' | 'stalled'): void {
    this.#response.destroy();
  }

  /** The connection has closed. */
  gone(): void {
    this.#gone?.();
  }

  send({ status, fields, body }: UnaryResponse, ended: ResponseEnded, moved: () => void): void {
    const response = this.#response;
    const { socket } = this.#request;
    const calls = callsOf(socket);
    // Without pipelining, it is the only one.
    if (calls.length === 1 && calls[0] === this) calls.pop();
    else if (calls.includes(this)) calls.splice(calls.indexOf(this), 1);
    // Writing to it would raise an error that nobody expects.
    if (socket.destroyed || response.destroyed) {
      ended(0, true);
      return;
    }
    const length = body?.length ?? 0;
    if (status !== 304) fields.push('content-length', String(length));
    response.writeHead(status, fields);
    if (body === undefined || this.#request.method === 'HEAD') {
      response.end();
      ended(0, false);
    } else if (length <= LARGE_RESPONSE_BYTES && body instanceof EncodedMessage) {
      // As text, head and body are one write.
      response.end(body.text, 'latin1');
      ended(length, false);
    } else {
      response.once('close', () => ended(length, !response.writableFinished));
      if (length <= PIECE_BYTES && body instanceof EncodedMessage) response.end(body.bytes);
      else sendPieces(response, body.pieces(false), moved);
    }
  }
}

/** The unanswered calls of a connection: one listener for all of them, instead of one for each. */
function callsOf(socket: Socket & { [kCalls]?: Http1Exchange[] }): Http1Exchange[] {
  let calls = socket[kCalls];
  if (calls === undefined) {
    calls = [];
    socket[kCalls] = calls;
    socket.once('close', () => {
      for (const call of [...(calls ?? [])]) call.gone();
    });
  }
  return calls;
}

const kCalls = Symbol('unary calls');
const EMPTY = Buffer.alloc(0);
