import type { IncomingHttpHeaders } from 'node:http';
import type { EncodedMessage } from '#src/wire/encoded-message.ts';
import type { StreamedMessage } from '#src/wire/streamed-message.ts';

/** The HTTP side of one unary call: one request and its response, over HTTP/1.1 or HTTP/2. */
export interface HttpExchange {
  /** Such as `http://127.0.0.1:8080/blog.v1.PostService/GetPost`. */
  readonly url: string;
  /** The request's fields, names and values in turn. */
  readonly fields: readonly string[];
  /** The same by name, as Node joins what is repeated, or drops it where only the first counts. Made when asked for. */
  readonly headers: IncomingHttpHeaders;
  /** Bytes of the request's body that have come. */
  readonly bytesRead: number;
  /** Whether the request has come in full. */
  readonly complete: boolean;

  /**
   * Reads the body, and calls `done` with it, in the same tick where it is here already; or with undefined, once, as soon as it
   * has more than `maxBytes`.
   */
  readBody(maxBytes: number, done: (body: Buffer | undefined) => void): void;
  /** Calls `gone` when the client is gone before the response was sent; for the call that `send` was not called for. */
  onGone(gone: () => void): void;
  /**
   * Sends the whole response.
   *
   * @param ended called when it has left or never will.
   * @param moved called each time that a piece of a large one has left.
   */
  send(response: UnaryResponse, ended: ResponseEnded, moved: () => void): void;
  /** Ends a response that can't be sent, or is not taken. */
  cut(why: 'fault' | 'stalled'): void;
}

export interface UnaryResponse {
  readonly status: number;
  /** Names, in lower case, and values in turn. */
  readonly fields: string[];
  /** Undefined: there is none, as for a 304. */
  readonly body: AnswerMessage | undefined;
  /** gRPC: the envelope is sent rather than the bytes, and these after it. */
  readonly trailers: Readonly<Record<string, string | string[]>> | undefined;
  /** gRPC, without a body: the trailers go with the fields, in one block that ends the stream ("Trailers-Only"). Default: no. */
  readonly isTrailersOnly?: boolean;
}

/**
 * @param bytesWritten of the response's body.
 * @param aborted the client did not get the whole response.
 */
export type ResponseEnded = (bytesWritten: number, aborted: boolean) => void;

/** A message in one format, ready to be sent. */
export type AnswerMessage = EncodedMessage | StreamedMessage;

/** From this many bytes on, a response is watched until it has left; a smaller one fits into the socket's buffer. */
export const LARGE_RESPONSE_BYTES = 16 * 1024;
