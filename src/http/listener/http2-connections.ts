import http2, { type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { TLSSocket } from 'node:tls';
import type { ConnectionEnded } from '#src/http/guards/connection-sweeper.ts';
import { guardFromControlFlood } from '#src/http/guards/http2-flood-guard.ts';
import { goAwayEnhanceYourCalm } from '#src/http/guards/http2-goaway.ts';
import { type Http2SessionError, isOfNghttp2, nameSessionErrors } from '#src/http/guards/http2-session-errors.ts';
import { HTTP2_CONNECTION_WINDOW, HTTP2_HANDSHAKE_TIMEOUT_MS, HTTP2_LIMITS } from '#src/http/guards/limits.ts';
import { tlsCarrier } from '#src/http/listener/tls-carrier.ts';
import type { Shell } from '#src/http/shell.ts';
import type { Logger } from '#src/observability/logger.ts';
import { attachConnection, type Connection, connectionOfSocket } from '#src/wire/connection.ts';
import { Http2Request, Http2Response } from '#src/wire/http-messages.ts';

/**
 * An HTTP/2 server that does not listen: it serves the connections that it is given.
 *
 * @param blame gets the address of each connection that is ended for a flood.
 */
export function createHttp2Connections(
  shell: Shell,
  log: Logger,
  ended: ConnectionEnded,
  blame: (address: string) => void,
): (connection: Connection) => void {
  const server = http2.createServer({
    ...HTTP2_LIMITS,
    Http2ServerRequest: Http2Request,
    Http2ServerResponse: Http2Response,
  });
  let arriving: Connection | undefined;

  server.on('session', session => {
    if (arriving === undefined) return;
    arriving.session = session;
    attachConnection(session, arriving);
    session.setLocalWindowSize(HTTP2_CONNECTION_WINDOW);
    endFloods(session, arriving);
    limitHandshake(session);
  });
  server.on('request', shell.handle);
  // Node makes a request and a response of each stream. The fast path takes the streams that it serves before that.
  const [makeRequest] = server.listeners('stream');
  if (makeRequest === undefined) throw new Error('this version of Node has another kind of request listener');
  server.removeAllListeners('stream');
  server.on('stream', (stream: ServerHttp2Stream, headers, flags, rawHeaders: string[]) => {
    const connection = stream.session && connectionOfSocket(stream.session);
    connection?.streamOpened(stream);
    const serve = () => {
      if (shell.handleStream(stream, headers, rawHeaders)) return;
      stream.on('close', () => connection?.streamClosed(stream));
      makeRequest.call(server, stream, headers, flags, rawHeaders);
    };
    if (connection === undefined || connection.streamTurns.isNow()) {
      serve();
      return;
    }
    // A flood of resets is detected when they arrive, not at their turns.
    stream.on('error', ignore).on('close', () => connection.streamClosed(stream));
    connection.streamTurns.wait(() => {
      // A log line for each would cost more than the rest of a flood.
      if (connection.flooded) return;
      if (!stream.closed) {
        serve();
        return;
      }
      shell.handleReset(headers, connection);
    });
  });
  server.on('checkContinue', shell.handle).on('checkExpectation', shell.handle);
  server.on('connect', shell.handle);
  server.on('sessionError', err => log.debug({ err }, 'an HTTP/2 session failed'));

  /** Ends a flooding session, and counts those that nghttp2 ends itself. An error blames nobody: it is of that connection alone. */
  function endFloods(session: ServerHttp2Session, connection: Connection): void {
    const flooded = () => {
      if (connection.flooded) return;
      connection.flooded = true;
      ended('FLOOD');
      blame(connection.remoteAddress);
      goAwayEnhanceYourCalm(session);
    };
    guardFromControlFlood(session, connection.socket, flooded);
    connection.endForResets = flooded;
    const reasonOf = nameSessionErrors(session, connection);
    session.on('error', (error: Http2SessionError) => {
      if (connection.flooded || !isOfNghttp2(error)) return;
      const reason = reasonOf(error);
      if (reason === 'FLOOD') flooded();
      else if (reason !== undefined) ended(reason);
    });
  }

  return connection => {
    // The HTTP/1.1 server's sockets stay half open when their client ends. A session would then wait for ever.
    const { socket } = connection;
    socket.allowHalfOpen = false;
    arriving = connection;
    server.emit('connection', socket instanceof TLSSocket ? tlsCarrier(socket) : socket);
    arriving = undefined;
  };
}

/** A stream that fails before its turn is found to be closed then. */
function ignore(): void {}

/** Ends a session whose client does not acknowledge our settings, because until then our limits do not bind it. */
function limitHandshake(session: ServerHttp2Session): void {
  const timer = setTimeout(() => session.destroy(), HTTP2_HANDSHAKE_TIMEOUT_MS).unref();
  const stop = () => clearTimeout(timer);
  session.once('localSettings', stop).once('close', stop);
}
