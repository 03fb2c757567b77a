import http2, { type ServerHttp2Session } from 'node:http2';
import { attachConnection, type Connection } from '#src/http/connection.ts';
import { Http2Request, Http2Response } from '#src/http/http-messages.ts';
import { HTTP2_CONNECTION_WINDOW, HTTP2_HANDSHAKE_TIMEOUT_MS, HTTP2_LIMITS } from '#src/http/limits.ts';
import type { Shell } from '#src/http/shell.ts';
import type { Logger } from '#src/observability/logger.ts';

/** An HTTP/2 server that does not listen: it serves the connections that it is given. */
export function createHttp2Connections(shell: Shell, log: Logger): (connection: Connection) => void {
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
    limitHandshake(session);
  });
  server.on('request', shell.handle).on('checkContinue', shell.handle).on('checkExpectation', shell.handle);
  server.on('connect', shell.handle);
  server.on('sessionError', err => log.debug({ err }, 'an HTTP/2 session failed'));

  return connection => {
    // The HTTP/1.1 server's sockets stay half open when their client ends; a session would wait for ever then.
    connection.socket.allowHalfOpen = false;
    arriving = connection;
    server.emit('connection', connection.socket);
    arriving = undefined;
  };
}

/** Ends a session whose client does not acknowledge our settings: until it does, our limits do not bind it. */
function limitHandshake(session: ServerHttp2Session): void {
  const timer = setTimeout(() => session.destroy(), HTTP2_HANDSHAKE_TIMEOUT_MS).unref();
  const stop = () => clearTimeout(timer);
  session.once('localSettings', stop).once('close', stop);
}
