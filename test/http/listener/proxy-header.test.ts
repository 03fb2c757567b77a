import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseProxyHeader } from '#src/http/listener/proxy-header.ts';
import { proxyV1, proxyV2, proxyV2Of } from '#test/support/proxy-headers.ts';

const parseText = (text: string) => parseProxyHeader(Buffer.from(text, 'latin1'));

const IPV6_ADDRESSES = Buffer.concat([
  Buffer.from('20010db8000000000000000000000007', 'hex'),
  Buffer.from('00000000000000000000000000000001', 'hex'),
  Buffer.from([0x9c, 0x40, 0x1f, 0x90]),
]);

describe('a PROXY header of version 1', () => {
  it.each([
    ['TCP4 192.0.2.7 192.0.2.1 40000 443', '192.0.2.7'],
    ['TCP4 255.255.255.255 255.255.255.255 65535 65535', '255.255.255.255'],
    ['TCP6 2001:DB8::7 ::1 0 443', '2001:db8::7'],
    [`TCP6 ${'ffff:'.repeat(7)}ffff ${'ffff:'.repeat(7)}ffff 65535 65535`, `${'ffff:'.repeat(7)}ffff`],
    ['TCP6 ::ffff:192.0.2.7 ::1 40000 443', '192.0.2.7'],
  ])('%s names the client', (line, address) => {
    const text = `PROXY ${line}\r\n`;
    expect(parseText(`${text}GET /`)).toEqual({ length: text.length, address });
  });

  it.each(['UNKNOWN', 'UNKNOWN whatever the proxy adds', `UNKNOWN ${'f'.repeat(91)}`])('%s names none', line => {
    const text = `PROXY ${line}\r\n`;
    expect(parseText(text)).toEqual({ length: text.length, address: undefined });
  });

  it.each([
    ['another family', 'PROXY TCP5 192.0.2.7 192.0.2.1 40000 443\r\n'],
    ['small letters', 'proxy TCP4 192.0.2.7 192.0.2.1 40000 443\r\n'],
    ['two spaces', 'PROXY TCP4  192.0.2.7 192.0.2.1 40000 443\r\n'],
    ['no destination', 'PROXY TCP4 192.0.2.7 40000 443\r\n'],
    ['one port', 'PROXY TCP4 192.0.2.7 192.0.2.1 40000\r\n'],
    ['too large a port', 'PROXY TCP4 192.0.2.7 192.0.2.1 65536 443\r\n'],
    ['a port with a zero in front', 'PROXY TCP4 192.0.2.7 192.0.2.1 040000 443\r\n'],
    ['an octal address', 'PROXY TCP4 192.0.2.07 192.0.2.1 40000 443\r\n'],
    ['a name', 'PROXY TCP4 client.example 192.0.2.1 40000 443\r\n'],
    ['an IPv6 address as TCP4', 'PROXY TCP4 2001:db8::7 2001:db8::1 40000 443\r\n'],
    ['an IPv4 address as TCP6', 'PROXY TCP6 192.0.2.7 192.0.2.1 40000 443\r\n'],
    ['a zone', 'PROXY TCP6 fe80::7%eth0 ::1 40000 443\r\n'],
    ['more after the ports', 'PROXY TCP4 192.0.2.7 192.0.2.1 40000 443 \r\n'],
    ['108 bytes', `PROXY UNKNOWN ${'f'.repeat(92)}\r\n`],
    ['no end after 107 bytes', `PROXY UNKNOWN ${'f'.repeat(93)}`],
    ['HTTP in its place', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['HTTP/2 in its place', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['TLS in its place', '\x16\x03\x01\x02\x00'],
  ])('is malformed with %s', (_name, text) => {
    expect(parseText(text)).toBe('malformed');
  });
});

describe('a PROXY header of version 2', () => {
  it('names a client over IPv4', () => {
    expect(parseProxyHeader(proxyV2Of('192.0.2.7'))).toEqual({ length: 28, address: '192.0.2.7' });
  });

  it('names a client over IPv6', () => {
    const header = proxyV2({ transport: 0x21, body: IPV6_ADDRESSES });
    expect(parseProxyHeader(header)).toEqual({ length: 52, address: '2001:db8::7' });
  });

  it('names a client whose IPv4 address is mapped to IPv6 by the IPv4 address', () => {
    const body = Buffer.from(IPV6_ADDRESSES);
    Buffer.from('00000000000000000000ffffc0000207', 'hex').copy(body);
    expect(parseProxyHeader(proxyV2({ transport: 0x21, body }))).toMatchObject({ address: '192.0.2.7' });
  });

  it('has extensions, which are skipped', () => {
    const header = proxyV2Of('192.0.2.7', Buffer.from([0x04, 0, 3, 1, 2, 3]));
    expect(parseProxyHeader(Buffer.concat([header, Buffer.from('GET /')]))).toEqual({
      length: 34,
      address: '192.0.2.7',
    });
  });

  it.each([
    ['LOCAL', { command: 0x20, transport: 0x00, body: Buffer.alloc(0) }],
    ['LOCAL, with addresses', { command: 0x20, body: Buffer.alloc(12, 7) }],
    ['LOCAL, with a family that there is not', { command: 0x20, transport: 0xff, body: Buffer.alloc(3) }],
    ['UNSPEC', { transport: 0x00, body: Buffer.alloc(5) }],
    ['a Unix socket', { transport: 0x31, body: Buffer.alloc(216) }],
    ['UDP', { transport: 0x12, body: Buffer.alloc(12, 7) }],
  ])('names none with %s', (_name, parts) => {
    expect(parseProxyHeader(proxyV2(parts))).toEqual({ length: 16 + parts.body.length, address: undefined });
  });

  it.each([
    ['version 1', { command: 0x11, body: Buffer.alloc(12) }],
    ['version 3', { command: 0x31, body: Buffer.alloc(12) }],
    ['another command', { command: 0x22, body: Buffer.alloc(12) }],
    ['another family', { transport: 0x41, body: Buffer.alloc(12) }],
    ['another transport', { transport: 0x13, body: Buffer.alloc(12) }],
    ['too few bytes for IPv4', { body: Buffer.alloc(11) }],
    ['too few bytes for IPv6', { transport: 0x21, body: Buffer.alloc(35) }],
    ['more than 4,096 bytes to come', { body: Buffer.alloc(12), length: 4097 }],
  ])('is malformed with %s', (_name, parts) => {
    expect(parseProxyHeader(proxyV2(parts))).toBe('malformed');
  });

  it('may have 4,096 bytes after its head', () => {
    expect(parseProxyHeader(proxyV2Of('192.0.2.7', Buffer.alloc(4084)))).toEqual({
      length: 4112,
      address: '192.0.2.7',
    });
  });
});

/** A header that is well-formed. */
const header = fc.oneof(
  fc.oneof(fc.ipV4(), fc.ipV6()).map(source => proxyV1(source)),
  fc
    .record({ source: fc.ipV4(), extensions: fc.uint8Array({ maxLength: 300 }) })
    .map(({ source, extensions }) => proxyV2Of(source, extensions)),
  fc.uint8Array({ maxLength: 300 }).map(body => proxyV2({ command: 0x20, body })),
);

describe('a PROXY header', () => {
  it('is incomplete up to its last byte, and the same whatever follows', () => {
    fc.assert(
      fc.property(header, fc.uint8Array(), (bytes, rest) => {
        for (let end = 1; end < bytes.length; end++)
          expect(parseProxyHeader(bytes.subarray(0, end))).toBe('incomplete');
        const alone = parseProxyHeader(bytes);
        expect(alone).toMatchObject({ length: bytes.length });
        expect(parseProxyHeader(Buffer.concat([bytes, rest]))).toEqual(alone);
      }),
    );
  });

  it('is never longer than what has come, and never throws, whatever comes', () => {
    const start = fc.constantFrom(
      '',
      'PROXY ',
      'PROXY TCP4 ',
      'PROXY TCP6 ::1 ',
      '\r\n\r\n\0\r\nQUIT\n',
      '\r\n\r\n\0\r\nQUIT\n\x21\x11\0',
    );
    fc.assert(
      fc.property(start, fc.uint8Array({ minLength: 1, maxLength: 600 }), (text, rest) => {
        const bytes = Buffer.concat([Buffer.from(text, 'latin1'), rest]);
        const parsed = parseProxyHeader(bytes);
        if (typeof parsed === 'object') expect(parsed.length).toBeLessThanOrEqual(bytes.length);
        else expect(['incomplete', 'malformed']).toContain(parsed);
      }),
      { numRuns: 2000 },
    );
  });

  it('with one byte changed is well-formed with other words, or refused', () => {
    const changed = fc.tuple(header, fc.nat(), fc.integer({ min: 0, max: 255 })).map(([bytes, at, byte]) => {
      const copy = Buffer.from(bytes);
      copy[at % copy.length] = byte;
      return copy;
    });
    fc.assert(
      fc.property(changed, bytes => {
        const parsed = parseProxyHeader(bytes);
        if (typeof parsed !== 'object' || parsed.address === undefined) return;
        expect(parsed.address).toMatch(/^[\da-f:.]+$/);
      }),
      { numRuns: 2000 },
    );
  });
});
