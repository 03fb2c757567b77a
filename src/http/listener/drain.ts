import { once } from 'node:events';
import type { Server as HttpServer } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import { Server as NetServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { goAwayGracefully, HEAR_OF_END_WITHIN_MS } from '#src/http/guards/http2-goaway.ts';
import { type Connection, retire } from '#src/wire/connection.ts';

/** What a listener has open. */
export interface OpenConnections {
  readonly server: HttpServer | HttpsServer;
  /** Every socket, also before its protocol is known. */
  readonly sockets: ReadonlySet<Socket>;
  readonly connections: ReadonlySet<Connection>;
}

/**
 * Takes no new connections, lets what runs end, and closes.
 *
 * @param graceMs what runs after this is cut off.
 * @returns how many connections were cut off with calls on them.
 */
export async function drain({ server, sockets, connections }: OpenConnections, graceMs: number): Promise<number> {
  const deadline = performance.now() + graceMs;
  const closed = once(server, 'close');
  // Not the HTTP server's own close: that one closes idle connections at once, where a request may be on its way.
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
  // Also what was accepted before, and has only now said that it speaks HTTP/2.
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
  // Stops Node's timer that looks for slow requests.
  server.close();
  return cutOff;
}

async function earlier(event: Promise<unknown>, ms: number): Promise<void> {
  const timer = new AbortController();
  await Promise.race([event, sleep(Math.max(0, ms), undefined, { signal: timer.signal }).catch(() => {})]);
  timer.abort();
}

/**
 * How long a client that holds an idle HTTP/1.1 connection may still send a call on it, which is answered, and told to close. A
 * round trip around the world, and a short time for a person who waits for the exit.
 */
const SETTLE_MS = 300;
const END_IDLE_EVERY_MS = 25;
