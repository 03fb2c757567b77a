import { once } from 'node:events';
import type { Server as HttpServer } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import { Server as NetServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { goAwayGracefully, HEAR_OF_END_WITHIN_MS } from '#src/http/guards/http2-goaway.ts';
import { type Connection, retire } from '#src/wire/connection.ts';

/** The open servers and sockets of a listener. */
export interface OpenConnections {
  readonly server: HttpServer | HttpsServer;
  /** Every socket, also before its protocol is known. */
  readonly sockets: ReadonlySet<Socket>;
  readonly connections: ReadonlySet<Connection>;
}

/**
 * Accepts no more connections, lets running calls end, and closes.
 *
 * @param graceMs after this, running calls are cut off.
 * @returns the number of connections that were cut off with calls.
 */
export async function drain({ server, sockets, connections }: OpenConnections, graceMs: number): Promise<number> {
  const deadline = performance.now() + graceMs;
  const closed = once(server, 'close');
  // The HTTP server's own close ends idle connections at once, although a request may be on its way.
  NetServer.prototype.close.call(server);

  const endSessions = () => {
    for (const connection of connections) goAwayGracefully(connection, Math.min(HEAR_OF_END_WITHIN_MS, graceMs / 2));
  };
  endSessions();
  for (const connection of connections) if (connection.session === undefined) retire(connection);
  await earlier(closed, Math.min(SETTLE_MS, graceMs / 2));

  for (const connection of connections) {
    if (connection.session === undefined && connection.latestResponse === undefined) connection.socket.destroy();
  }
  // Also connections that were accepted before, and have only now shown that they speak HTTP/2.
  const endIdle = () => {
    server.closeIdleConnections();
    endSessions();
  };
  const timer = setInterval(endIdle, END_IDLE_EVERY_MS);
  endIdle();
  await earlier(closed, deadline - performance.now());
  clearInterval(timer);

  const cutOff = [...connections].filter(({ session, answering }) => answering || session?.destroyed === false).length;
  for (const socket of sockets) socket.destroy();
  await closed;
  // Stops Node's timer for slow requests.
  server.close();
  return cutOff;
}

async function earlier(event: Promise<unknown>, ms: number): Promise<void> {
  const timer = new AbortController();
  await Promise.race([event, sleep(Math.max(0, ms), undefined, { signal: timer.signal }).catch(() => {})]);
  timer.abort();
}

/**
 * How long a client with an idle HTTP/1.1 connection may still send a call, which is answered and told to close. It is a round trip around
 * the world, and short for a person who waits for the exit.
 */
const SETTLE_MS = 300;
const END_IDLE_EVERY_MS = 25;
