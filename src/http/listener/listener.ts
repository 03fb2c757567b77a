import http from 'node:http';
import https from 'node:https';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { TrustedProxies } from '#src/http/clients/trusted-proxies.ts';
import { type ConnectionAgeLimits, createConnectionAge } from '#src/http/guards/connection-age.ts';
import { type ConnectionLimits, createConnectionLimits } from '#src/http/guards/connection-limits.ts';
import { sweepConnections } from '#src/http/guards/connection-sweeper.ts';
import { createHttp2Keepalive, type Http2KeepaliveTimes } from '#src/http/guards/http2-keepalive.ts';
import {
  CONNECTION_LOOK_EVERY_MS,
  FIRST_BYTES_TIMEOUT_MS,
  HTTP1_LIMITS,
  HTTP1_MAX_HEADERS_COUNT,
  HTTP2_KEEPALIVE,
  PROXY_HEADER_TIMEOUT_MS,
  STALL_LIMITS,
  TLS_LIMITS,
} from '#src/http/guards/limits.ts';
import { createPenaltyBox } from '#src/http/guards/penalty-box.ts';
import { createSlowReaderGuard, type SlowReaderLimits } from '#src/http/guards/slow-readers.ts';
import { drain } from '#src/http/listener/drain.ts';
import { allowHalfClosed, watchHalfClosed } from '#src/http/listener/half-closed.ts';
import { createHttp2Connections } from '#src/http/listener/http2-connections.ts';
import { openPort } from '#src/http/listener/open-port.ts';
import { peekProtocol } from '#src/http/listener/protocol-peek.ts';
import { readProxyHeader } from '#src/http/listener/proxy-header.ts';
import type { Shell } from '#src/http/shell.ts';
import type { Logger } from '#src/observability/logger.ts';
import type { Metrics } from '#src/observability/metrics.ts';
import { attachConnection, Connection, connectionOfSocket } from '#src/wire/connection.ts';
import { Http1Response } from '#src/wire/http-messages.ts';
import { Http1Request } from '#src/wire/http1-exchange.ts';

export interface ListenerOptions {
  readonly host: string;
  /** 0 picks a free one. */
  readonly port: number;
  /** PEM certificate chain and key; unset: clear text. */
  readonly tls?: { readonly cert: string | Buffer; readonly key: string | Buffer } | undefined;
  readonly shell: Shell;
  readonly log: Logger;
  /** Unset: connections are not counted. */
  readonly metrics?: Pick<Metrics, 'connectionRefused' | 'connectionEnded' | 'connectionsChanged'>;
  /** Unset: no limits. */
  readonly connections?: ConnectionLimits & ConnectionAgeLimits & { readonly idleTimeoutMs: number };
  /** Proxies that may name their clients; unset: there are none. */
  readonly trustedProxies?: TrustedProxies | undefined;
  /** Whether each connection begins with a PROXY header, from a trusted proxy or, if there are none, from anyone. Default: no. */
  readonly proxyProtocol?: boolean;
  /** Default: those of limits.ts. */
  readonly times?: Partial<ConnectionTimes>;
}

/** Time limits of connections, in milliseconds. */
export type ConnectionTimes = Http2KeepaliveTimes & SlowReaderLimits & { readonly lookEveryMs: number };

/** The open public port. Disposing of it closes it without a grace. */
export interface Listener extends AsyncDisposable {
  readonly port: number;
  /** Such as `http://127.0.0.1:8080`. */
  readonly url: string;
  /**
   * Accepts no more connections, lets running calls end, and closes. Clients are told (`Connection: close`, GOAWAY), and have a moment to
   * read it, so that none sends a call into a closing connection.
   *
   * @param graceMs after this, running calls are cut off.
   * @returns the number of connections that were cut off with calls.
   */
  readonly close: (graceMs: number) => Promise<number>;
}

/**
 * Opens the public port for HTTP/1.1 and HTTP/2. In clear text the client's first bytes tell the version, and over TLS ALPN does.
 *
 * The HTTP/1.1 server listens, because Node enforces its time limits only then. Its own connection listener is removed, and called for
 * connections that speak HTTP/1.1. The others go to an HTTP/2 server that does not listen.
 *
 * @throws ListenError if the port cannot be opened.
 */
export async function startListener(options: ListenerOptions): Promise<Listener> {
  const { tls, shell, log, metrics = UNCOUNTED, connections: limits = UNLIMITED, trustedProxies } = options;
  const isTrusted = trustedProxies ?? (() => false);
  const http1Options = { ...HTTP1_LIMITS, ...HTTP1_MESSAGES, keepAliveTimeout: limits.idleTimeoutMs };
  const server: http.Server | https.Server = tls
    ? https.createServer({ ...http1Options, ...TLS_LIMITS, ...tls })
    : http.createServer(http1Options);
  server.maxHeadersCount = HTTP1_MAX_HEADERS_COUNT;
  allowHalfClosed(server);

  const floods = createPenaltyBox();
  const admission = createConnectionLimits(limits, log, metrics, floods.isFlooding, isTrusted);
  const sockets = new Set<Socket>();
  const connections = new Set<Connection>();
  const beginTls = tls && takeOffConnectionListener(server, 'connection');
  const speakHttp1 = takeOffConnectionListener(server, tls ? 'secureConnection' : 'connection');
  const serveHttp2 = createHttp2Connections(shell, log, metrics.connectionEnded, floods.blame);
  const track = (socket: Socket, address: string) => {
    const connection = new Connection(socket, address, isTrusted(address));
    attachConnection(socket, connection);
    connections.add(connection);
    socket.on('close', () => connections.delete(connection));
    return connection;
  };
  const serveHttp1 = (connection: Connection) => {
    watchHalfClosed(connection);
    speakHttp1(connection.socket);
  };
  // Addresses of sockets before TLS. Their TLS sockets arrive with another event.
  const addresses = new WeakMap<Socket, string>();
  const begin = (socket: Socket, address: string) => {
    if (!admission.admit(socket, address)) return;
    if (beginTls !== undefined) {
      addresses.set(socket, address);
      beginTls(socket);
      return;
    }
    const connection = track(socket, address);
    peekProtocol(socket, FIRST_BYTES_TIMEOUT_MS, isHttp2 => (isHttp2 ? serveHttp2 : serveHttp1)(connection));
  };
  server.on('connection', (socket: Socket) => {
    if (!admission.arrive(socket)) return;
    sockets.add(socket);
    metrics.connectionsChanged(1);
    socket.on('close', () => {
      sockets.delete(socket);
      metrics.connectionsChanged(-1);
    });
    const peer = socket.remoteAddress ?? '';
    if (!options.proxyProtocol) begin(socket, peer);
    else if (trustedProxies?.(peer) === false) admission.refuse(socket, 'UNTRUSTED_PROXY', peer);
    else {
      const refuse = () => void admission.refuse(socket, 'BAD_PROXY_HEADER', peer);
      readProxyHeader(socket, PROXY_HEADER_TIMEOUT_MS, client => begin(socket, client ?? peer), refuse);
    }
  });
  if (tls) {
    server.on('secureConnection', (socket: TLSSocket) => {
      const carrier = (socket as TLSSocket & { readonly _parent?: Socket })._parent;
      const connection = track(socket, (carrier && addresses.get(carrier)) ?? socket.remoteAddress ?? '');
      if (socket.alpnProtocol === 'h2') serveHttp2(connection);
      else serveHttp1(connection);
    });
  }

  const times = { ...TIMES, ...options.times };
  const { connectionEnded } = metrics;
  const looks = [createConnectionAge(limits, connectionEnded), createHttp2Keepalive(times, connectionEnded)];
  const stallGuard = createSlowReaderGuard(times, connectionEnded);
  const stopWatching = sweepConnections(connections, looks, times.lookEveryMs, stallGuard);

  let draining: Promise<number> | undefined;
  const handle = (request: http.IncomingMessage, response: http.ServerResponse) => {
    const connection = connectionOfSocket(request.socket);
    if (connection !== undefined) connection.latestResponse = response;
    if (draining !== undefined || connection?.retiring) response.shouldKeepAlive = false;
    shell.handle(request, response);
  };
  server.on('request', handle).on('checkContinue', handle).on('checkExpectation', handle);
  server.on('connect', shell.refuseTunnel);
  server.on('clientError', (error, socket) => shell.refuseSocket(socket, error));

  const { port, authority } = await openPort(server, { host: options.host, port: options.port, setting: 'PORT' });
  server.on('error', err => log.error({ err }, 'the public port failed'));
  const close = (graceMs: number) => {
    draining ??= drain({ server, sockets, connections }, graceMs).finally(stopWatching);
    return draining;
  };
  const url = `${tls ? 'https' : 'http'}://${authority}`;
  return { port, url, close, [Symbol.asyncDispose]: async () => void (await close(0)) };
}

const UNLIMITED = { perAddress: 0, max: 0, maxAgeMs: 0, maxAgeGraceMs: 0, idleTimeoutMs: 0 };
const UNCOUNTED = { connectionRefused: () => {}, connectionEnded: () => {}, connectionsChanged: () => {} };
const TIMES = { ...HTTP2_KEEPALIVE, ...STALL_LIMITS, lookEveryMs: CONNECTION_LOOK_EVERY_MS };
const HTTP1_MESSAGES = { IncomingMessage: Http1Request, ServerResponse: Http1Response };

/** Removes Node's own listener, which speaks HTTP/1.1 with each new connection, and returns it as a function. */
function takeOffConnectionListener(server: http.Server | https.Server, event: string): (socket: Socket) => void {
  const [listener, ...others] = server.listeners(event);
  if (listener === undefined || others.length > 0)
    throw new Error(`this version of Node has another kind of ${event} listener`);
  server.removeAllListeners(event);
  return socket => void listener.call(server, socket);
}
