import { once } from 'node:events';
import { type AddressInfo, isIPv6, type Server } from 'node:net';

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

/** A port could not be opened. The message names the port, the reason, and the remedy. */
export class ListenError extends Error {
  override readonly name = 'ListenError';
}

/**
 * Explains why a port could not be opened.
 *
 * @param address the requested address; `setting` names the port's setting, such as `PORT`.
 */
export function explainListenError(
  error: Error & { readonly code?: string },
  { host, port, setting }: { readonly host: string; readonly port: number; readonly setting: string },
): ListenError {
  const where = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  const explain = EXPLANATIONS[error.code ?? ''];
  const why = explain === undefined ? error.message : explain(where, setting);
  return new ListenError(why, { cause: error });
}

const EXPLANATIONS: Readonly<Record<string, (where: string, setting: string) => string>> = {
  EADDRINUSE: (where, setting) =>
    `${where} is in use by another process: stop that one, or set ${setting} to another port (0 picks a free one)`,
  EACCES: (where, setting) => `this user may not open ${where}: set ${setting} to a port above 1023`,
  EADDRNOTAVAIL: where => `this machine has no such address to open ${where} on`,
  ENOTFOUND: where => `the host of ${where} is not known`,
};
