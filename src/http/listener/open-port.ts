import { once } from 'node:events';
import { type AddressInfo, isIPv6, type Server } from 'node:net';
import { explainListenError } from '#src/http/listener/listen-error.ts';

/**
 * Makes a server listen.
 *
 * @param address `port` 0 picks a free one; `setting` names the port's setting, for the error.
 * @returns the port, and the `host:port` of its URL.
 * @throws ListenError
 */
export async function openPort(
  server: Server,
  address: { readonly host: string; readonly port: number; readonly setting: string },
): Promise<{ readonly port: number; readonly authority: string }> {
  const { host } = address;
  server.listen({ host, port: address.port, backlog: BACKLOG });
  try {
    await once(server, 'listening');
  } catch (error) {
    throw explainListenError(error as Error, address);
  }
  const { port } = server.address() as AddressInfo;
  return { port, authority: `${isIPv6(host) ? `[${host}]` : host}:${port}` };
}

/**
 * The most connections that wait to be accepted, because all clients of a restarted instance return at once. If there is no room, the
 * kernel drops the first packet, and the client retries after 1 s, 3 s and 7 s. Kernels allow 4096 by default.
 */
const BACKLOG = 4096;
