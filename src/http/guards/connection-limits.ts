import { isIPv6, type Socket } from 'node:net';
import type { Logger } from '#src/observability/logger.ts';
import type { Metrics } from '#src/observability/metrics.ts';

export interface ConnectionLimits {
  /** The most open connections from one address, or one IPv6 network of 64 bits; 0: no limit. */
  readonly perAddress: number;
  /** The most open connections; 0: no limit. */
  readonly max: number;
}

/** Admits new connections in two steps, because a proxy's connection tells its client's address only in its first bytes. */
export interface ConnectionAdmission {
  /** Counts a new connection until it closes, or resets it if there are too many. @returns whether it may stay. */
  readonly arrive: (socket: Socket) => boolean;
  /** The same for the client's connections. It must be called once, before the first request. */
  readonly admit: (socket: Socket, address: string) => boolean;
  /** Resets a new connection. Always false. */
  readonly refuse: (socket: Socket, reason: RefusedConnection, address: string) => false;
}

/**
 * Admits new connections within limits, and resets the others. Each is counted, and the log has at most a line a second.
 *
 * A reset connection gets no answer. That would cost a TLS handshake, or in clear text the wait for a request, which the limit must save. A
 * reset before the first byte tells a balancer to try another instance, and a client to retry.
 *
 * @param isFlooding whether a network is refused for earlier floods. Not called if `perAddress` is 0, because then all clients may share
 *   one address.
 * @param isExempt whether an address is of a proxy, which has no limit, and is never refused for floods.
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

/** Why a connection was refused, in the names of the metrics. */
export type RefusedConnection = 'TOO_MANY' | 'TOO_MANY_OF_ADDRESS' | 'FLOODED' | 'UNTRUSTED_PROXY' | 'BAD_PROXY_HEADER';

/** The network of one customer: an IPv4 address, also if it is written as IPv6, or the first 64 bits of an IPv6 address (RFC 6177). */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return mapped;
  if (!isIPv6(address)) return address;
  const [start = '', end] = (address.split('%', 1)[0] as string).split('::');
  const groups = start === '' ? [] : start.split(':');
  // `::` stands for as many groups of zeros as are missing.
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
