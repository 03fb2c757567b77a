import { BlockList, isIPv4, isIPv6, SocketAddress } from 'node:net';
import { RecentMap } from '#src/rpc/unary/codec/recent-map.ts';

/** Whether an address is that of a proxy which may name its clients. */
export type TrustedProxies = (address: string) => boolean;

/**
 * @param networks valid CIDRs such as `10.0.0.0/8` or `2001:db8::/32` (RFC 4632, 3.1), or single addresses.
 * @returns undefined if there are none.
 */
export function createTrustedProxies(networks: readonly string[]): TrustedProxies | undefined {
  if (networks.length === 0) return undefined;
  const trusted = new BlockList();
  for (const network of networks) {
    const [address = '', prefix] = network.split('/');
    const family = familyOf(address);
    if (prefix === undefined) trusted.addAddress(address, family);
    else trusted.addSubnet(address, Number(prefix), family);
  }
  const check = (address: string) => {
    const canonical = canonicalAddress(address);
    return canonical !== undefined && trusted.check(canonical, familyOf(canonical));
  };
  // A look-up takes two microseconds, and each call of a client needs two.
  const recent = new RecentMap<boolean>(RECENT_MAX);
  return address => {
    let isTrusted = recent.get(address);
    if (isTrusted === undefined) {
      isTrusted = check(address);
      recent.set(address, isTrusted);
    }
    return isTrusted;
  };
}

/** In addresses. Both generations take at most a megabyte. */
const RECENT_MAX = 4096;

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4';
}

/**
 * The canonical text of an IP address (RFC 5952), without a zone. An IPv4 address that is mapped to IPv6 becomes IPv4. So equal addresses
 * are equal texts, which are safe in a log line.
 *
 * @returns undefined if the text is not an IP address.
 */
export function canonicalAddress(text: string): string | undefined {
  if (isIPv4(text)) return text;
  if (!isIPv6(text)) return undefined;
  const [unzoned = ''] = text.split('%', 1);
  const { address } = new SocketAddress({ address: unzoned, family: 'ipv6' });
  return MAPPED.exec(address)?.[1] ?? address;
}

/** RFC 4291, 2.5.5.2. */
const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/;
