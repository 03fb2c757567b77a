/** A header of the PROXY protocol, version 1 (proxy-protocol.txt, 2.1). Ports are made up. */
export function proxyV1(source: string, destination = source.includes(':') ? '::1' : '127.0.0.1'): Buffer {
  const family = source.includes(':') ? 'TCP6' : 'TCP4';
  return Buffer.from(`PROXY ${family} ${source} ${destination} 40000 8080\r\n`, 'latin1');
}

/** What the parts of a header of version 2 are (proxy-protocol.txt, 2.2). */
export interface ProxyV2 {
  /** Version and command; default: 2, PROXY. */
  readonly command?: number;
  /** Address family and transport; default: TCP over IPv4. */
  readonly transport?: number;
  /** Addresses, ports and extensions. */
  readonly body: Uint8Array;
  /** Default: that of the body. */
  readonly length?: number;
}

export function proxyV2({ command = 0x21, transport = 0x11, body, length = body.length }: ProxyV2): Buffer {
  const head = Buffer.from('\r\n\r\n\0\r\nQUIT\n\0\0\0\0', 'latin1');
  head[12] = command;
  head[13] = transport;
  head.writeUInt16BE(length, 14);
  return Buffer.concat([head, body]);
}

/** Version 2 for a client of an IPv4 address, with extensions. */
export function proxyV2Of(source: string, extensions: Uint8Array = new Uint8Array()): Buffer {
  const addresses = [...source.split('.').map(Number), 127, 0, 0, 1, 0x9c, 0x40, 0x1f, 0x90];
  return proxyV2({ body: Buffer.concat([Buffer.from(addresses), extensions]) });
}
