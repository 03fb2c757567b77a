import { constants, type Http2Session } from 'node:http2';
import type { Connection } from '#src/wire/connection.ts';

/**
 * Ends an HTTP/2 connection without losing a call (RFC 9113, 6.8; like gRPC's servers):
 *
 * 1. A GOAWAY with the highest possible stream id tells the client to open no more streams. Streams on their way are still accepted.
 * 2. The acknowledgement of a PING comes after every stream that the client opened before it read the GOAWAY.
 * 3. Then, or after `withinMs`, a GOAWAY names the last accepted stream, and the connection ends with its open streams.
 *
 * Node cannot send the first GOAWAY: after `session.goaway` and `session.close`, nghttp2 ignores new streams. So the frame goes to the
 * socket past the session, which writes only whole frames. Over TLS that needs tls-carrier.ts. Further calls do nothing.
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
    // Node's client answers with its own GOAWAY before the streams that it still has to send. Node would close the session on that, and
    // refuse them.
    session.close = () => {};
    ping(session, settle);
  };
  let timer = setTimeout(tell, withinMs / 2).unref();
  session.once('close', () => clearTimeout(timer));
  whenRead(connection, QUIET_TRIES, tell);
}

/**
 * Waits for a moment when the client has read nearly everything that was sent.
 *
 * If Node's client reads an answer and a GOAWAY in one piece, it drops the call that it began upon the answer, without sending it
 * (REFUSED_STREAM). Not every library above it retries that. A GOAWAY at the start of a piece does no harm.
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

/** Node refuses a ping if too many wait for their answers. Such a client gets the whole time. */
function ping(session: Http2Session, acknowledged: () => void): void {
  if (session.destroyed) return;
  session.ping(error => {
    if (error === null) acknowledged();
  });
}

const endings = new WeakSet<Http2Session>();
const QUIET_TRIES = 10;

/** How long a client may take to acknowledge the end: a round trip around the world, and a lost packet. */
export const HEAR_OF_END_WITHIN_MS = 1000;

/**
 * Ends a connection with all its streams, because its client costs too much (RFC 9113, 7: ENHANCE_YOUR_CALM). The streams get no error in
 * this process, because they have done nothing wrong.
 */
export function goAwayEnhanceYourCalm(session: Http2Session): void {
  if (session.destroyed) return;
  session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
  session.destroy();
}

/** RFC 9113, 4.1 and 6.8: 8 bytes of type 7, no flags, stream 0, then the last stream's id and the error code. */
const GOAWAY_WITH_ALL_STREAMS = Buffer.from([
  ...[0, 0, 8, 7, 0, 0, 0, 0, 0],
  ...[0x7f, 0xff, 0xff, 0xff],
  ...[0, 0, 0, constants.NGHTTP2_NO_ERROR],
]);
