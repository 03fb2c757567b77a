import type { IncomingHttpHeaders } from 'node:http';
import type { EncodedMessage } from '#src/wire/encoded-message.ts';
import type { StreamedMessage } from '#src/wire/streamed-message.ts';

/** One request and its response, over HTTP/1.1 or HTTP/2, as a unary call sees them. */
export interface HttpExchange {
  /** Such as `http://127.0.0.1:8080/blog.v1.PostService/GetPost`. */
  readonly url: string;
  /** The request's header fields, names and values in turn. */
  readonly fields: readonly string[];
  /** The same by name, with repeated fields joined or dropped as Node does. Created on first access. */
  readonly headers: IncomingHttpHeaders;
  /** Bytes of the request's body received so far. */
  readonly bytesRead: number;
  /** Whether the whole request has arrived. */
  readonly complete: boolean;

  /**
   * Reads the body and calls `done` with it once: in the same tick if it has arrived, and with undefined as soon as it exceeds
   * `maxBytes`.
   */
  readBody(maxBytes: number, done: (body: Buffer | undefined) => void): void;
  /** Calls `gone` if the client disconnects before `send` is called. */
  onGone(gone: () => void): void;
  /**
   * Sends the whole response.
   *
   * @param ended called when the response has left or never will.
   * @param moved called each time that a piece of a large response has left.
   */
  send(response: UnaryResponse, ended: ResponseEnded, moved: () => void): void;
  /** Aborts a response that cannot be sent (`fault`), or that the client does not read (`stalled`). */
  cut(why: 'fault' | 'stalled'): void;
}

export interface UnaryResponse {
  readonly status: number;
  /** Header fields, names in lower case and values in turn. */
  readonly fields: string[];
  /** Undefined: no body, as for a 304. */
  readonly body: AnswerMessage | undefined;
  /** gRPC: the trailers. The body is then sent in an envelope. */
  readonly trailers: Readonly<Record<string, string | string[]>> | undefined;
  /** gRPC without a body: sends the trailers with the header fields and ends the stream ("Trailers-Only"). Default: false. */
  readonly isTrailersOnly?: boolean;
}

/**
 * @param bytesWritten of the response's body.
 * @param aborted the client did not get the whole response.
 */
export type ResponseEnded = (bytesWritten: number, aborted: boolean) => void;

/** A message in one format, ready to send. */
export type AnswerMessage = EncodedMessage | StreamedMessage;

/** Larger responses are watched until they have left. Up to this many bytes fit into the socket's buffer. */
export const LARGE_RESPONSE_BYTES = 16 * 1024;
