import { once } from 'node:events';
import net from 'node:net';
import type pg from 'pg';

/**
 * Cancels the statement that a client runs, and settles when it is safe to give the client to somebody else.
 *
 * It sends Postgres' own cancel request over a connection of its own, which needs neither a login nor a free connection
 * slot, so it works on a server that has none left. A statement that has not ended a second later, because the server
 * is frozen or out of reach, takes its connection down.
 *
 * Protocol: https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS
 *
 * @param running the statement's promise; its outcome is not looked at.
 */
export async function cancelRunningQuery(client: pg.ClientBase, running: Promise<unknown>): Promise<void> {
  const { processID, secretKey, host, port, connection } = client as unknown as ClientInternals;
  const socket = host.startsWith('/') ? net.connect(`${host}/.s.PGSQL.${port}`) : net.connect(port, host);
  const giveUp = setTimeout(() => {
    socket.destroy();
    connection.stream.destroy();
  }, GIVE_UP_AFTER_MS);
  const closed = once(socket, 'close').catch(() => {});
  socket.on('error', () => {});
  const request = Buffer.alloc(16);
  request.writeInt32BE(16, 0);
  request.writeInt32BE(CANCEL_REQUEST_CODE, 4);
  request.writeInt32BE(processID, 8);
  request.writeInt32BE(secretKey, 12);
  socket.end(request);
  // Postgres closes the connection when it has signalled the backend. It sends nothing, but without reading the end is
  // never seen.
  socket.resume();
  await Promise.allSettled([running, closed]);
  clearTimeout(giveUp);
}

/** Long enough for a busy server, and short enough not to keep a slot of the pool from a healthy one. */
const GIVE_UP_AFTER_MS = 1000;
const CANCEL_REQUEST_CODE = 80877102;

/** What pg keeps of a session; not in its types. */
interface ClientInternals {
  readonly processID: number;
  readonly secretKey: number;
  readonly host: string;
  readonly port: number;
  readonly connection: { readonly stream: net.Socket };
}
