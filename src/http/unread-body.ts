import { constants, type ServerHttp2Stream } from 'node:http2';
import type { Connection, HttpRequest } from '#src/http/connection.ts';
import { closeLingering } from '#src/http/lingering-close.ts';

/**
 * HTTP/1.1, after the response: a body that nobody has read stands between us and the next request. A small one is read
 * off; otherwise the connection is closed, so that no client can make us read for ever.
 */
export function dropUnreadBody(request: HttpRequest, connection: Connection | undefined): void {
  if (request.complete || 'stream' in request || request.socket.destroyed) return;
  if (Number(request.headers['content-length']) <= READ_OFF_MAX_BYTES) {
    request.resume();
    return;
  }
  if (connection !== undefined) connection.closing = true;
  closeLingering(request.socket);
}

/**
 * HTTP/2, when the response is out: asks the client to send no more of a body that nobody reads, without an error
 * (RFC 9113, 8.1). A listener for `finish` of the stream.
 */
export function stopUnreadBody(this: ServerHttp2Stream): void {
  if (this.readableEnded || this.closed) return;
  // Not at once: the trailers, which have gRPC's status, leave after this event.
  setImmediate(resetUnread, this);
}

function resetUnread(stream: ServerHttp2Stream): void {
  if (!stream.readableEnded && !stream.closed) stream.close(constants.NGHTTP2_NO_ERROR);
}

/** What is in the socket's buffers anyway. */
const READ_OFF_MAX_BYTES = 64 * 1024;
