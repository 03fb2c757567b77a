import type { Server } from 'node:http';
import type { Server as SecureServer } from 'node:https';
import type { Connection } from '#src/wire/connection.ts';

/**
 * Makes an HTTP/1.1 server answer a client that ends its side of the connection after its request. Such a client may still wait for the
 * answer (RFC 9112, 9.6; `nc -N` and `shutdown(SHUT_WR)` do that). Node aborts the call by default.
 */
export function allowHalfClosed(server: Server | SecureServer): void {
  // An undocumented property of Node. A test would notice if it disappeared.
  (server as { httpAllowHalfOpen?: boolean }).httpAllowHalfOpen = true;
}

/**
 * Distinguishes a client that has ended its side from one that is gone, whose call must be cancelled. Both look the same until something is
 * sent: the host of a closed connection answers with a reset.
 *
 * It sends `100 Continue`, which every client must be able to skip (RFC 9110, 15.2). It does so only if the call still runs after
 * PROBE_AFTER_MS, so nearly all clients see only their answer. It sends twice: nothing is read any more, so only the second write notices
 * the reset of the first.
 *
 * Nothing can be inserted into a response that has begun. For a waiting stream, the client counts as gone.
 */
export function watchHalfClosed(connection: Connection): void {
  const { socket } = connection;
  socket.once('end', () => {
    if (!connection.answering) return;
    const probe = () => {
      const { latestResponse: response, answering } = connection;
      if (!answering || response === undefined) return;
      if (!response.headersSent) response.writeContinue();
      else if (response.writableLength === 0) socket.destroy();
    };
    const timers = [PROBE_AFTER_MS, PROBE_AFTER_MS + RESET_WITHIN_MS].map(ms => setTimeout(probe, ms));
    socket.once('close', () => {
      for (const timer of timers) clearTimeout(timer);
    });
  });
}

/** Longer than nearly every call, and short, because an abandoned call takes the place of others. */
const PROBE_AFTER_MS = 50;
/** A round trip within a data centre. Over a longer way, the next write cancels the call. */
const RESET_WITHIN_MS = 20;
