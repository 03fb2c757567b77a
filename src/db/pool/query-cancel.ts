import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';

/**
 * Cancels a client's running statement, and settles when the client is safe for others.
 *
 * It sends Postgres' own cancel request over a separate connection, which needs neither a login nor a free connection slot. So it works on
 * a server without free slots. A request that overtakes its statement is lost, so it is repeated until the statement has ended. After a
 * second, because the server is frozen or unreachable, the connection is cut, which Postgres notices itself
 * (`client_connection_check_interval`).
 *
 * Protocol: https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-CANCELING-REQUESTS
 *
 * @param running the statement's promise; its outcome does not matter.
 */
export async function cancelRunningQuery(client: pg.ClientBase, running: Promise<unknown>): Promise<void> {
  const { connection } = client as unknown as ClientInternals;
  const givingUp = new AbortController();
  const giveUp = setTimeout(() => {
    givingUp.abort();
    connection.stream.destroy();
  }, GIVE_UP_AFTER_MS);
  let ended = false;
  const end = running.then(
    () => {
      ended = true;
    },
    () => {
      ended = true;
    },
  );
  while (!ended && !givingUp.signal.aborted) {
    // A request names the backend, not the statement, so none may be on its way when the next statement starts.
    await sendCancelRequest(client, givingUp.signal);
    if (!ended) await Promise.race([end, sleep(PAUSE_MS)]);
  }
  await end;
  clearTimeout(giveUp);
}

/** Settles when Postgres has signalled the backend, after which it closes the connection, or when it cannot be reached. */
async function sendCancelRequest(client: pg.ClientBase, signal: AbortSignal): Promise<void> {
  const { processID, secretKey, host, port } = client as unknown as ClientInternals;
  const request = Buffer.alloc(16);
  request.writeInt32BE(16, 0);
  request.writeInt32BE(CANCEL_REQUEST_CODE, 4);
  request.writeInt32BE(processID, 8);
  request.writeInt32BE(secretKey, 12);
  const place = host.startsWith('/') ? { path: `${host}/.s.PGSQL.${port}` } : { port, host };
  const socket = net.connect(place);
  const closed = once(socket, 'close').catch(() => {});
  const stop = () => socket.destroy();
  signal.addEventListener('abort', stop, { once: true });
  socket.on('error', () => {});
  socket.end(request);
  // It sends nothing, but the end is noticed only by reading.
  socket.resume();
  await closed;
  signal.removeEventListener('abort', stop);
}

/** Long enough for a busy server, and short enough not to hold a slot of the pool. */
const GIVE_UP_AFTER_MS = 1000;
/** The first request rarely misses, and each costs Postgres a process. A lost one must not cost the 100 ms of R24. */
const PAUSE_MS = 20;
const CANCEL_REQUEST_CODE = 80877102;

/** The session data of pg, missing in its types. */
interface ClientInternals {
  readonly processID: number;
  readonly secretKey: number;
  readonly host: string;
  readonly port: number;
  readonly connection: { readonly stream: net.Socket };
}
