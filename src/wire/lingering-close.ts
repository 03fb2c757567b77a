import type { Socket } from 'node:net';

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
