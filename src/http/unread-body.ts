import type { IncomingMessage, ServerResponse } from 'node:http';
import { constants, type Http2ServerRequest } from 'node:http2';
import type { Exchange } from '#src/http/exchange.ts';
import { closeLingering, LINGER_MS } from '#src/http/lingering-close.ts';

/**
 * HTTP/1.1, before the response: where the client has asked to close, Node closes as soon as the response is out, which
 * resets a connection whose body was not read, and the client may never see the answer. So a body that may be left
 * unread has the closing done by dropUnreadBody instead.
 *
 * @returns whether dropUnreadBody is to close the connection in any case.
 */
export function takeOverClosing(request: IncomingMessage, response: ServerResponse, bodyMaxBytes: number): boolean {
  const { headers } = request;
  const mayBeLeft = headers['transfer-encoding'] !== undefined || Number(headers['content-length']) > bodyMaxBytes;
  if (!mayBeLeft || headers.connection?.toLowerCase() !== 'close') return false;
  response.shouldKeepAlive = true;
  return true;
}

/**
 * HTTP/1.1, after the response: a body that nobody has read stands between us and the next request. A small one is read
 * off; otherwise the connection is closed, so that no client can make us read for ever.
 */
export function dropUnreadBody({ request, connection, closes }: Exchange): void {
  if ('stream' in request || request.socket.destroyed) return;
  if (!request.complete) request.resume();
  if (!closes && (request.complete || Number(request.headers['content-length']) <= READ_OFF_MAX_BYTES)) return;
  if (connection !== undefined) connection.closing = true;
  closeLingering(request.socket);
}

/**
 * HTTP/2, when the response is out: reads on for a moment, since clients exist that take being stopped for a failure and
 * never look at the answer; then asks for no more, without an error (RFC 9113, 8.1).
 */
export function stopUnreadBody(request: Http2ServerRequest): void {
  const { stream } = request;
  if (stream.readableEnded || stream.closed) return;
  request.resume();
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), LINGER_MS);
  stream.once('close', () => clearTimeout(timer));
}

/** What is in the socket's buffers anyway. */
const READ_OFF_MAX_BYTES = 64 * 1024;
