import { isIPv6, type Socket } from 'node:net';
import type { Logger } from '#src/observability/logger.ts';
import type { Metrics } from '#src/observability/metrics.ts';

export interface ConnectionLimits {
  /** The most open connections from one address, or one IPv6 network of 64 bits; 0: no limit. */
  readonly perAddress: number;
  /** The most open connections; 0: no limit. */
  readonly max: number;
}

/**
 * Admits new connections within limits, and resets the others. Each is counted; the log has a line a second at most.
 *
 * They get no answer: over TLS it would take the handshake, and in clear text the wait for a request, which is what the limit
 * saves. A reset before the first byte is what a balancer needs to try another instance, and what a client repeats.
 *
 * @param isFlooding whether a network is refused for what it did before; not asked where `perAddress` is 0, since all clients
 *   may come from one address then.
 * @returns whether the connection may stay; it is accounted for until it closes.
 */
export function createConnectionLimits(
  { perAddress, max }: ConnectionLimits,
  log: Logger,
  metrics: Pick<Metrics, 'connectionRefused'>,
  isFlooding: (network: string) => boolean = () => false,
): (socket: Socket) => boolean {
  const open = new Map<string, number>();
  let total = 0;
  let refused = 0;
  let loggedAt = Number.NEGATIVE_INFINITY;

  const refuse = (socket: Socket, reason: RefusedConnection) => {
    metrics.connectionRefused(reason);
    refused++;
    const now = performance.now();
    if (now - loggedAt >= LOG_EVERY_MS) {
      loggedAt = now;
      const fields = { event: 'connection-refused', reason, remoteAddress: socket.remoteAddress, open: total, refused };
      log.warn(fields, `connections are refused: ${WHY[reason]}`);
      refused = 0;
    }
    socket.on('error', () => {});
    socket.resetAndDestroy();
    return false;
  };

  return socket => {
    const address = networkOf(socket.remoteAddress ?? '');
    const before = open.get(address) ?? 0;
    if (max > 0 && total >= max) return refuse(socket, 'TOO_MANY');
    if (perAddress > 0 && isFlooding(address)) return refuse(socket, 'FLOODED');
    if (perAddress > 0 && before >= perAddress) return refuse(socket, 'TOO_MANY_OF_ADDRESS');
    total++;
    open.set(address, before + 1);
    socket.once('close', () => {
      total--;
      const left = (open.get(address) ?? 0) - 1;
      if (left > 0) open.set(address, left);
      else open.delete(address);
    });
    return true;
  };
}

/** Why a connection was refused, as the metrics have it. */
export type RefusedConnection = 'TOO_MANY' | 'TOO_MANY_OF_ADDRESS' | 'FLOODED';

/**
 * What belongs to one customer: an IPv4 address, also where it is written as IPv6, or the first 64 bits of an IPv6 address,
 * which is the least that a customer gets (RFC 6177).
 */
export function networkOf(address: string): string {
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
};
