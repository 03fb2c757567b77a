import { constants, type Http2Session } from 'node:http2';
import type { Connection } from '#src/http/connection.ts';

/**
 * Tells an HTTP/2 client to open no more streams on this connection, and still takes those that it opens before it hears
 * of it: a GOAWAY that names the highest stream there can be (RFC 9113, 6.8). endSession follows a round trip later.
 *
 * Node has no way to send that: after `session.goaway` and `session.close` nghttp2 ignores new streams, so that calls on
 * their way would be lost. So the frame goes to the socket past the session, which writes whole frames only. Over TLS
 * two writers would abort the process; there the session is closed at once, and what is on its way is refused, which
 * gRPC clients repeat by themselves. A connection that was told before is left alone.
 */
export function announceEnd({ session, socket }: Connection): void {
  if (session === undefined || session.closed || Object.hasOwn(session, 'close')) return;
  if ('encrypted' in socket) {
    session.close();
    return;
  }
  socket.write(GOAWAY_WITH_ALL_STREAMS);
  // Node's client answers with a GOAWAY of its own, ahead of the streams that it still had to send. Node would close the
  // session on that, and refuse them.
  session.close = () => {};
}

/** Takes no more streams (a round trip after announceEnd none should come), and closes the connection when those that run have ended. */
export function endSession({ session }: Connection): void {
  if (session === undefined) return;
  Reflect.deleteProperty(session, 'close');
  session.close();
}

/**
 * Ends a connection whose client costs too much, with all its streams (RFC 9113, 7: ENHANCE_YOUR_CALM). Without an error in
 * this process: the streams have done nothing wrong that whoever serves them should catch.
 */
export function dismiss(session: Http2Session): void {
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
