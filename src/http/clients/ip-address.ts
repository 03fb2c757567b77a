import { isIPv4, isIPv6, SocketAddress } from 'node:net';

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
