import { isIPv6, type Socket } from 'node:net';
import type { Logger } from '#src/observability/logger.ts';
import type { Metrics } from '#src/observability/metrics.ts';

export interface ConnectionLimits {
  /** The most open connections from one address, or one IPv6 network of 64 bits; 0: no limit. */
  readonly perAddress: number;
  /** The most open connections; 0: no limit. */
  readonly max: number;
}

/** Admits new connections, in two steps: a connection of a proxy tells its client's address only by its first bytes. */
export interface ConnectionAdmission {
  /** Counts a new connection, until it closes, or resets it where there are as many as there may be. Says whether it may stay. */
  readonly arrive: (socket: Socket) => boolean;
  /** The same for the connections of the client whose it is. To be called once, before its first request. */
  readonly admit: (socket: Socket, address: string) => boolean;
  /** Resets a connection that has arrived. Always false. */
  readonly refuse: (socket: Socket, reason: RefusedConnection, address: string) => false;
}

/**
 * Admits new connections within limits, and resets the others. Each is counted; the log has a line a second at most.
 *
 * They get no answer: over TLS it would take the handshake, and in clear text the wait for a request, which is what the limit
 * saves. A reset before the first byte is what a balancer needs to try another instance, and what a client repeats.
 *
 * @param isFlooding whether a network is refused for what it did before; not asked where `perAddress` is 0, since all clients
 *   may come from one address then.
 * @param isExempt whether an address is no client's, but that of a proxy: it has no limit, and is never refused for floods.
 */
export function createConnectionLimits(
  { perAddress, max }: ConnectionLimits,
  log: Logger,
  metrics: Pick<Metrics, 'connectionRefused'>,
  isFlooding: (network: string) => boolean = () => false,
  isExempt: (address: string) => boolean = () => false,
): ConnectionAdmission {
  const open = new Map<string, number>();
  let total = 0;
  let refused = 0;
  let loggedAt = Number.NEGATIVE_INFINITY;

  const refuse = (socket: Socket, reason: RefusedConnection, remoteAddress: string): false => {
    metrics.connectionRefused(reason);
    refused++;
    const now = performance.now();
    if (now - loggedAt >= LOG_EVERY_MS) {
      loggedAt = now;
      const fields = { event: 'connection-refused', reason, remoteAddress, open: total, refused };
      log.warn(fields, `connections are refused: ${WHY[reason]}`);
      refused = 0;
    }
    socket.on('error', () => {});
    socket.resetAndDestroy();
    return false;
  };

  return {
    arrive(socket) {
      if (max > 0 && total >= max) return refuse(socket, 'TOO_MANY', socket.remoteAddress ?? '');
      total++;
      socket.once('close', () => total--);
      return true;
    },
    admit(socket, address) {
      if (perAddress === 0 || isExempt(address)) return true;
      const network = networkOf(address);
      const before = open.get(network) ?? 0;
      if (isFlooding(network)) return refuse(socket, 'FLOODED', address);
      if (before >= perAddress) return refuse(socket, 'TOO_MANY_OF_ADDRESS', address);
      open.set(network, before + 1);
      socket.once('close', () => {
        const left = (open.get(network) ?? 0) - 1;
        if (left > 0) open.set(network, left);
        else open.delete(network);
      });
      return true;
    },
    refuse,
  };
}

/** Why a connection was refused, as the metrics have it. */
export type RefusedConnection = 'TOO_MANY' | 'TOO_MANY_OF_ADDRESS' | 'FLOODED' | 'UNTRUSTED_PROXY' | 'BAD_PROXY_HEADER';

/**
 * What belongs to one customer: an IPv4 address, also where it is written as IPv6, or the first 64 bits of an IPv6 address,
 * which is the least that a customer gets (RFC 6177).
 */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address)) return address;
  const [start = '', end] = (address.split('%', 1)[0] as string).split('::');
  const groups = start === '' ? [] : start.split(':');
  // `::` stands for as many groups of zeros as there is room for.
  if (end !== undefined) {
    const last = end === '' ? [] : end.split(':');
    while (groups.length + last.length < 8) groups.push('0');
    groups.push(...last);
  }
  return groups.slice(0, 4).join(':');
}

const LOG_EVERY_MS = 1000;
const WHY: Readonly<Record<RefusedConnection, string>> = {
  TOO_MANY: 'there are as many as CONNECTIONS_MAX allows',
  TOO_MANY_OF_ADDRESS: 'there are as many as CONNECTIONS_PER_ADDRESS allows',
  FLOODED: 'this address has sent floods over three or more, the last within 10 s',
  UNTRUSTED_PROXY: 'with PROXY_PROTOCOL they must come from an address that TRUSTED_PROXIES names',
  BAD_PROXY_HEADER: 'with PROXY_PROTOCOL they must begin with a PROXY header, of version 1 or 2, within 3 s',
};
