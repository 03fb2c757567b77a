import type { Connection } from '#src/wire/connection.ts';

/** Checks one connection. @param now `performance.now()`. */
export type ConnectionCheck = (connection: Connection, now: number) => void;

/** Counts a connection, or a response on it, that the service ends. */
export type ConnectionEnded = (reason: 'MAX_AGE' | 'NO_PONG' | 'FLOOD' | 'STALLED' | 'PROTOCOL_ERROR') => void;

/**
 * Checks every connection from time to time with one timer. A timer for each would have to be set again with every call.
 *
 * @returns a function that ends it.
 */
export function sweepConnections(
  connections: ReadonlySet<Connection>,
  looks: readonly ConnectionCheck[],
  everyMs: number,
  lookAtAll: (connections: Iterable<Connection>, now: number) => void,
): () => void {
  const timer = setInterval(() => {
    const now = performance.now();
    for (const connection of connections) for (const look of looks) look(connection, now);
    lookAtAll(connections, now);
  }, everyMs).unref();
  return () => clearInterval(timer);
}
