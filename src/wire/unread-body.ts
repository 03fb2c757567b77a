import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Connection, HttpRequest } from '#src/wire/connection.ts';

/**
 * HTTP/1.1, when the head of the response leaves: an unread body precedes the next request. A small one is read. Otherwise the client is
 * told that the connection closes, so that no client can make us read for ever.
 *
 * Node would close as soon as the response has left. That resets a connection with unread bytes, and the client might never see the answer.
 * So this lingers.
 */
export function announceUnreadBody(response: ServerResponse): void {
  const { req: request } = response;
  if (!isLeftUnread(request)) return;
  const { socket } = request;
  response.shouldKeepAlive = false;
  socket.destroySoon = () => closeLingering(socket);
}

/** HTTP/1.1, after the response: reads the rest of the body, and nothing more. */
export function dropUnreadBody(request: HttpRequest, connection: Connection | undefined): void {
  if ('stream' in request || request.socket.destroyed || request.complete) return;
  request.resume();
  if (connection !== undefined && isLeftUnread(request)) connection.closing = true;
}

function isLeftUnread(request: IncomingMessage): boolean {
  if (request.complete) return false;
  // Without either, the request has no body, and is complete with its head.
  const length = request.headers['content-length'];
  if (length === undefined) return request.headers['transfer-encoding'] !== undefined;
  return Number(length) > READ_OFF_MAX_BYTES;
}

/** The size of the socket's buffers. */
const READ_OFF_MAX_BYTES = 64 * 1024;

/**
 * Closes an HTTP/1.1 connection whose client may still be sending. It ends our side, and gives the client a moment to read the answer.
 * Closing at once with unread bytes would send a reset, which can overtake the answer (RFC 9112, 9.6).
 */
export function closeLingering(socket: Socket): void {
  if (socket.destroyed) return;
  socket.end();
  const timer = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(timer));
}

/** Enough for the answer to cross an ocean and back, and short, because such a client misbehaves. */
export const LINGER_MS = 500;
