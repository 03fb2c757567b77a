import type { Server } from 'node:http';
import type { Server as SecureServer } from 'node:https';
import type { Connection } from '#src/wire/connection.ts';

/**
 * Has an HTTP/1.1 server answer a client that ends its side of the connection after its request. That does not mean that it no longer
 * waits for the answer (RFC 9112, 9.6; `nc -N` and `shutdown(SHUT_WR)` do it). Node aborts the call by default.
 */
export function allowHalfClosed(server: Server | SecureServer): void {
  // Of Node's own, without a word in its documentation; a test would notice if it was gone.
  (server as { httpAllowHalfOpen?: boolean }).httpAllowHalfOpen = true;
}

/**
 * Tells a client that has ended its side from one that is gone, whose call is to be cancelled. Both look alike until something is sent: a
 * host whose program has closed the connection answers that with a reset.
 *
 * What is sent is `100 Continue`, which every client must be able to skip (RFC 9110, 15.2). It is sent only where the call still runs
 * after PROBE_AFTER_MS, so nearly all clients see nothing but their answer. It is sent twice: nothing is read any more, so whoever writes
 * next notices the reset that the first one brings.
 *
 * Nothing can be put into a response that has begun. One that waits, a stream, is taken for one whose client is gone.
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

/** Longer than nearly every call, and short, since a call that nobody waits for takes the place of others. */
const PROBE_AFTER_MS = 50;
/** A round trip within a data centre. Over a longer way the call is cancelled by whatever is written next. */
const RESET_WITHIN_MS = 20;
