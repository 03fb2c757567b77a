import { constants, type Http2Session } from 'node:http2';
import type { Connection } from '#src/wire/connection.ts';

/**
 * Ends an HTTP/2 connection so that no call is lost (RFC 9113, 6.8; gRPC's servers do the same):
 *
 * 1. a GOAWAY that names the highest stream there can be: open no more streams here; those on their way are still taken;
 * 2. a PING: its acknowledgement comes behind every stream that the client opened before it heard of the end;
 * 3. then, or after `withinMs`, the GOAWAY that names the last stream taken, and the end when the open streams have ended.
 *
 * Node has no way to send the first: after `session.goaway` and `session.close` nghttp2 ignores new streams. So the frame goes
 * to the socket past the session, which writes whole frames only; over TLS that needs the carrier of tls-carrier.ts. A
 * connection that was told before is left alone.
 *
 * @param withinMs for a client that acknowledges no ping; half of it before the first GOAWAY.
 */
export function goAwayGracefully(connection: Connection, withinMs: number): void {
  const { session, socket } = connection;
  if (session === undefined || session.closed || session.destroyed || endings.has(session)) return;
  endings.add(session);
  let isTold = false;
  const settle = () => {
    clearTimeout(timer);
    Reflect.deleteProperty(session, 'close');
    if (!session.destroyed) session.close();
  };
  const tell = () => {
    if (isTold || session.closed || session.destroyed) return;
    isTold = true;
    clearTimeout(timer);
    timer = setTimeout(settle, withinMs / 2).unref();
    socket.write(GOAWAY_WITH_ALL_STREAMS);
    // Node's client answers with a GOAWAY of its own, ahead of the streams that it still had to send. Node would close the
    // session on that, and refuse them.
    session.close = () => {};
    ping(session, settle);
  };
  let timer = setTimeout(tell, withinMs / 2).unref();
  session.once('close', () => clearTimeout(timer));
  whenRead(connection, QUIET_TRIES, tell);
}

/**
 * Waits for a moment in which the client has read all that was sent, or nearly so.
 *
 * Node's client that reads an answer and a GOAWAY in one piece drops the call that it began upon the answer, without ever
 * sending it (REFUSED_STREAM), and not every library above it repeats that. A GOAWAY that comes first in a piece does no harm.
 */
function whenRead(connection: Connection, tries: number, then: () => void): void {
  const { session, socket } = connection;
  if (session === undefined || session.destroyed) return;
  let sent: number | undefined;
  ping(session, () => {
    if (tries <= 1 || sent === socket.bytesWritten) then();
    else whenRead(connection, tries - 1, then);
  });
  // Sessions write in the native part of this phase of the event loop, which comes first.
  setImmediate(() => {
    sent = socket.bytesWritten;
  });
}

/** Refused where as many pings as may be wait for their answers: such a client has the whole time. */
function ping(session: Http2Session, acknowledged: () => void): void {
  if (session.destroyed) return;
  session.ping(error => {
    if (error === null) acknowledged();
  });
}

const endings = new WeakSet<Http2Session>();
const QUIET_TRIES = 10;

/** How long a client may take to acknowledge that it has heard of the end: a round trip around the world, and a lost packet. */
export const HEAR_OF_END_WITHIN_MS = 1000;

/**
 * Ends a connection whose client costs too much, with all its streams (RFC 9113, 7: ENHANCE_YOUR_CALM). Without an error in
 * this process: the streams have done nothing wrong that whoever serves them should catch.
 */
export function goAwayEnhanceYourCalm(session: Http2Session): void {
  if (session.destroyed) return;
  session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  session.destroy();
}

/** RFC 9113, 4.1 and 6.8: 8 bytes of type 7, no flags, stream 0; the last stream's id, and the error code. */
const GOAWAY_WITH_ALL_STREAMS = Buffer.from([
  ...[0, 0, 8, 7, 0, 0, 0, 0, 0],
  ...[0x7f, 0xff, 0xff, 0xff],
  ...[0, 0, 0, constants.NGHTTP2_NO_ERROR],
]);
