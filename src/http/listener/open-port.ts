import { once } from 'node:events';
import { type AddressInfo, isIPv6, type Server } from 'node:net';
import { explainListenError } from '#src/http/listener/listen-error.ts';

/**
 * Has a server listen.
 *
 * @param address `port` 0 picks a free one; `setting` names the setting that the port comes from, for the error.
 * @returns the port that it got, and the `host:port` of its URL.
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
 * How many connections may wait to be accepted: all clients of an instance come back at once where it was restarted. Of one that finds no
 * room the kernel drops the first packet, and the client tries again after 1 s, 3 s, and 7 s. Kernels allow 4096 by default.
 */
const BACKLOG = 4096;
