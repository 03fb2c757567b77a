import type { Socket } from 'node:net';
import { isIPv4, isIPv6 } from 'node:net';
import { canonicalAddress } from '#src/http/clients/trusted-proxies.ts';

/** The header of the PROXY protocol, in which a proxy names the client of a connection. */
export interface ProxyHeader {
  /** Its length in bytes. The client's bytes follow. */
  readonly length: number;
  /** The client's address; undefined: the proxy names none, so the connection's peer counts. */
  readonly address: string | undefined;
}

/**
 * Reads a header of version 1 or 2 at the start of a connection's bytes so far
 * (https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt, section 2).
 *
 * LOCAL, UNKNOWN, UNSPEC, and anything but TCP over IPv4 or IPv6, name no address. Extensions (TLVs) are skipped.
 */
export function parseProxyHeader(bytes: Buffer): ProxyHeader | 'incomplete' | 'malformed' {
  if (beginsWith(bytes, V2_SIGNATURE)) return parseV2(bytes);
  return beginsWith(bytes, V1_START) ? parseV1(bytes) : 'malformed';
}

function beginsWith(bytes: Buffer, start: Buffer): boolean {
  const length = Math.min(bytes.length, start.length);
  return bytes.compare(start, 0, length, 0, length) === 0;
}

function parseV1(bytes: Buffer): ProxyHeader | 'incomplete' | 'malformed' {
  const end = bytes.subarray(0, V1_MAX_BYTES).indexOf('\r\n');
  if (end < 0) return bytes.length < V1_MAX_BYTES ? 'incomplete' : 'malformed';
  const line = bytes.toString('latin1', 0, end);
  const length = end + 2;
  if (line === 'PROXY UNKNOWN' || line.startsWith('PROXY UNKNOWN ')) return { length, address: undefined };
  const [, family, source = '', destination = '', ...ports] = V1_TCP.exec(line) ?? [];
  const isAddress = family === '4' ? isIPv4 : isIPv6;
  const isWellFormed = family !== undefined && isAddress(source) && isAddress(destination);
  if (!isWellFormed || ports.some(port => Number(port) > 65_535)) return 'malformed';
  return { length, address: canonicalAddress(source) };
}

function parseV2(bytes: Buffer): ProxyHeader | 'incomplete' | 'malformed' {
  if (bytes.length < V2_HEAD_BYTES) return 'incomplete';
  const command = bytes[12] as number;
  const transport = bytes[13] as number;
  const bodyLength = bytes.readUInt16BE(14);
  if (command !== V2_LOCAL && command !== V2_PROXY) return 'malformed';
  if (bodyLength > V2_MAX_BODY_BYTES) return 'malformed';
  const length = V2_HEAD_BYTES + bodyLength;
  if (bytes.length < length) return 'incomplete';
  if (command === V2_LOCAL) return { length, address: undefined };
  if (transport >> 4 > 3 || (transport & 15) > 2) return 'malformed';
  const body = bytes.subarray(V2_HEAD_BYTES, length);
  if (transport === V2_TCP4) {
    return body.length < V2_TCP4_BYTES ? 'malformed' : { length, address: body.subarray(0, 4).join('.') };
  }
  if (transport === V2_TCP6) {
    return body.length < V2_TCP6_BYTES ? 'malformed' : { length, address: ipv6Of(body.subarray(0, 16)) };
  }
  return { length, address: undefined };
}

function ipv6Of(bytes: Buffer): string | undefined {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16));
  return canonicalAddress(groups.join(':'));
}

const V1_START = Buffer.from('PROXY ');
/** With its CRLF, by the specification. */
const V1_MAX_BYTES = 107;
/** Ports have no leading zeros, and addresses have no zone. */
const V1_TCP = /^PROXY TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})$/;

const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1');
const V2_HEAD_BYTES = 16;
/** With extensions; NGINX accepts the same. The specification requires at least 216. */
const V2_MAX_BODY_BYTES = 4096;
/** Version and command. */
const V2_LOCAL = 0x20;
const V2_PROXY = 0x21;
/** Address family and transport; two addresses and two ports. */
const V2_TCP4 = 0x11;
const V2_TCP4_BYTES = 12;
const V2_TCP6 = 0x21;
const V2_TCP6_BYTES = 36;

/**
 * Removes the PROXY header from a new connection, in however many pieces it comes, and puts back the HTTP or TLS that follows. A connection
 * that ends or fails first is dropped.
 *
 * @param timeoutMs for the whole header.
 * @param read gets the client's address; undefined: the proxy names none.
 * @param failed the header is malformed or late; the connection is still open.
 */
export function readProxyHeader(
  socket: Socket,
  timeoutMs: number,
  read: (address: string | undefined) => void,
  failed: () => void,
): void {
  let seen: Buffer | undefined;

  const stop = () => {
    clearTimeout(timer);
    socket.off('readable', onReadable).off('end', drop).off('error', drop).off('close', stop);
  };
  const onReadable = () => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    seen = seen === undefined ? chunk : Buffer.concat([seen, chunk]);
    const header = parseProxyHeader(seen);
    if (header === 'incomplete') return;
    stop();
    if (header === 'malformed') {
      failed();
      return;
    }
    if (seen.length > header.length) socket.unshift(seen.subarray(header.length));
    read(header.address);
  };
  const drop = () => socket.destroy();
  const timer = setTimeout(() => {
    stop();
    failed();
  }, timeoutMs);
  socket.on('readable', onReadable).on('end', drop).on('error', drop).on('close', stop);
}
