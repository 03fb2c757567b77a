import { once } from 'node:events';
import http2 from 'node:http2';
import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import { connect as connectTls } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { FRAME } from '#test/support/http2-frames.ts';
import { proxyV1, proxyV2, proxyV2Of } from '#test/support/proxy-headers.ts';
import { openPublicPort, type PublicPort, type PublicPortOptions } from '#test/support/public-port.ts';
import { healthCheck, readToEnd, statusOf } from '#test/support/raw-http.ts';
import { selfSigned } from '#test/support/self-signed.ts';

const PROXY = '127.0.0.1';
const CLIENT = '192.0.2.7';
const LOCAL = proxyV2({ command: 0x20, transport: 0, body: Buffer.alloc(0) });

const openPort = (options: PublicPortOptions = {}) => openPublicPort({ proxyProtocol: true, ...options });

const callOf = (id: string, lines = '') => Buffer.from(healthCheck(`Host: a\r\nX-Request-Id: ${id}\r\n${lines}`));

/** Sends these bytes in one piece, and gives what comes back until the connection closes. */
async function send(port: PublicPort, bytes: Buffer, localAddress = PROXY): Promise<string> {
  const socket = connect({ port: port.port, host: '127.0.0.1', localAddress });
  socket.write(bytes);
  return readToEnd(socket);
}

/** A connection on which a proxy has sent this much. */
async function open(port: PublicPort, ...pieces: readonly Uint8Array[]): Promise<Socket> {
  const socket = connect({ port: port.port, host: '127.0.0.1', noDelay: true });
  for (const piece of pieces) await new Promise(sent => socket.write(piece, sent));
  return socket;
}

const HEADERS: readonly [string, Buffer, string][] = [
  ['version 1 over IPv4', proxyV1(CLIENT), CLIENT],
  ['version 1 over IPv6', proxyV1('2001:db8::7'), '2001:db8::7'],
  ['version 1, UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n'), PROXY],
  ['version 2', proxyV2Of(CLIENT), CLIENT],
  ['version 2 with extensions', proxyV2Of(CLIENT, Buffer.alloc(500, 7)), CLIENT],
  ['version 2, LOCAL', LOCAL, PROXY],
];

describe('a connection that begins with a PROXY header', () => {
  it.each(HEADERS)('of %s, is served, and has the client of the header', async (_name, header, client) => {
    await using port = await openPort();
    const answer = await send(port, Buffer.concat([header, callOf('call')]));
    expect(statusOf(answer)).toBe(200);
    expect(await port.log.line({ id: 'call' })).toMatchObject({ remoteAddress: client });
  });

  it.each(HEADERS)('of %s, is served when it comes byte by byte', async (_name, header, client) => {
    await using port = await openPort();
    const bytes = Buffer.concat([header, callOf('call')]);
    const socket = connect({ port: port.port, host: '127.0.0.1', noDelay: true });
    const answer = readToEnd(socket);
    for (const byte of bytes) {
      await new Promise(sent => socket.write(Buffer.of(byte), sent));
      await new Promise(setImmediate);
    }
    expect(statusOf(await answer)).toBe(200);
    expect(await port.log.line({ id: 'call' })).toMatchObject({ remoteAddress: client });
  });

  it('is answered where its client ends its side after the request', async () => {
    await using port = await openPort();
    const socket = connect({ port: port.port, host: '127.0.0.1', allowHalfOpen: true });
    socket.end(Buffer.concat([proxyV1(CLIENT), callOf('call')]));
    expect(statusOf(await readToEnd(socket))).toBe(200);
  });

  it('may speak HTTP/2', async () => {
    await using port = await openPort();
    const socket = await open(port, proxyV2Of(CLIENT));
    const session = http2.connect('http://a', { createConnection: () => socket });
    expect(await check(session, 'call')).toBe(200);
    expect(await port.log.line({ id: 'call' })).toMatchObject({ remoteAddress: CLIENT, httpVersion: '2.0' });
    session.destroy();
  });

  it('may have the preface of HTTP/2 in the same piece', async () => {
    await using port = await openPort();
    const socket = await open(
      port,
      Buffer.concat([proxyV2Of(CLIENT), Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')]),
    );
    const [settings] = (await once(socket, 'data')) as [Buffer];
    expect(settings[3], 'the type of the first frame').toBe(FRAME.settings);
    socket.destroy();
  });

  it.each(['http/1.1', 'h2'])('may speak TLS, with %s in it', async protocol => {
    const tls = selfSigned();
    await using port = await openPort({ tls });
    const raw = await open(port, proxyV1(CLIENT));
    const socket = connectTls({ socket: raw, ca: tls.cert, servername: 'localhost', ALPNProtocols: [protocol] });
    await once(socket, 'secureConnect');
    if (protocol === 'h2') {
      const session = http2.connect('https://localhost', { createConnection: () => socket });
      expect(await check(session, 'call')).toBe(200);
      session.destroy();
    } else {
      socket.write(callOf('call'));
      expect(statusOf(await readToEnd(socket))).toBe(200);
    }
    expect(await port.log.line({ id: 'call' })).toMatchObject({ remoteAddress: CLIENT });
  });

  it('may have the first bytes of TLS in the same piece', async () => {
    const tls = selfSigned();
    await using port = await openPort({ tls });
    const raw = connect({ port: port.port, host: '127.0.0.1' });
    const carrier = withFirst(raw, proxyV2Of(CLIENT));
    const socket = connectTls({ socket: carrier, ca: tls.cert, servername: 'localhost' });
    await once(socket, 'secureConnect');
    socket.write(callOf('call'));
    const [answer] = (await once(socket, 'data')) as [Buffer];
    expect(statusOf(String(answer))).toBe(200);
    raw.destroy();
    expect(await port.log.line({ id: 'call' })).toMatchObject({ remoteAddress: CLIENT });
  });

  it('may bring fields of a trusted proxy behind the one that sent the header', async () => {
    await using port = await openPort({ trustedProxies: [PROXY, '10.0.0.0/8'] });
    const lines = 'X-Forwarded-For: 203.0.113.9\r\n';
    await send(port, Buffer.concat([proxyV1('10.0.0.2'), callOf('proxied', lines)]));
    await send(port, Buffer.concat([proxyV1(CLIENT), callOf('spoofed', lines)]));
    expect(await port.log.line({ id: 'proxied' })).toMatchObject({ remoteAddress: '203.0.113.9' });
    expect(await port.log.line({ id: 'spoofed' })).toMatchObject({ remoteAddress: CLIENT });
  });
});

describe('the limit per address, with the PROXY protocol', () => {
  it('holds for the connections of each client', async () => {
    await using port = await openPort({ connections: { perAddress: 2 }, trustedProxies: [PROXY] });
    const held = [await hold(port, CLIENT), await hold(port, CLIENT)];
    expect(await send(port, Buffer.concat([proxyV1(CLIENT), callOf('greedy')]))).toBe('');
    expect(statusOf(await send(port, Buffer.concat([proxyV1('192.0.2.8'), callOf('other')])))).toBe(200);
    expect(await port.log.line({ event: 'connection-refused' })).toMatchObject({ remoteAddress: CLIENT });
    expect(statusOf(await send(port, Buffer.concat([LOCAL, callOf('proxy')])))).toBe(200);
    for (const socket of held) socket.destroy();
  });

  it('does not hold for what has not yet said whose it is, but the limit for all does', async () => {
    await using port = await openPort({ connections: { perAddress: 1, max: 3 } });
    const held = [await open(port), await open(port), await open(port)];
    expect(await send(port, Buffer.concat([proxyV1(CLIENT), callOf('call')]))).toBe('');
    expect(await port.metric('http_connections_refused_total{reason="TOO_MANY"}')).toBe(1);
    expect(await port.metric('http_connections_refused_total{reason="TOO_MANY_OF_ADDRESS"}')).toBe(0);
    for (const socket of held) socket.destroy();
  });
});

describe('with the PROXY protocol', () => {
  it.each([
    ['HTTP/1.1', healthCheck('Host: a\r\n')],
    ['HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['TLS', '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'],
    ['a malformed header', 'PROXY TCP4 192.0.2.7 127.0.0.1 40000\r\n'],
    ['a header without end', `PROXY UNKNOWN ${'f'.repeat(200)}`],
  ])('a connection that begins with %s is reset, and counted', async (_name, text) => {
    await using port = await openPort();
    expect(await send(port, Buffer.from(text, 'latin1'))).toBe('');
    expect(await port.metric('http_connections_refused_total{reason="BAD_PROXY_HEADER"}')).toBe(1);
    expect(await port.log.line({ event: 'connection-refused' })).toMatchObject({
      remoteAddress: PROXY,
      msg: expect.stringContaining('PROXY_PROTOCOL'),
    });
  });

  it('a connection that keeps its header back is reset', async () => {
    await using port = await openPort();
    const socket = await open(port, proxyV1(CLIENT).subarray(0, 10));
    expect(await readToEnd(socket)).toBe('');
    expect(await port.metric('http_connections_refused_total{reason="BAD_PROXY_HEADER"}')).toBe(1);
  });

  it('a connection that ends before its header does is dropped, and is no fault', async () => {
    await using port = await openPort();
    const socket = await open(port, proxyV1(CLIENT).subarray(0, 10));
    socket.end();
    expect(await readToEnd(socket)).toBe('');
    expect(await port.metric('http_connections_refused_total{reason="BAD_PROXY_HEADER"}')).toBe(0);
  });

  it('a connection of anyone but a trusted proxy is reset, and counted', async () => {
    await using port = await openPort({ trustedProxies: [PROXY] });
    expect(await send(port, Buffer.concat([proxyV1(CLIENT), callOf('spoofed')]), '127.0.0.2')).toBe('');
    expect(await port.metric('http_connections_refused_total{reason="UNTRUSTED_PROXY"}')).toBe(1);
    expect(statusOf(await send(port, Buffer.concat([proxyV1(CLIENT), callOf('proxied')])))).toBe(200);
  });
});

describe('without the PROXY protocol', () => {
  it.each(HEADERS.slice(0, 4))('a header of %s is no request', async (_name, header) => {
    await using port = await openPublicPort({ trustedProxies: [PROXY] });
    const answer = await send(port, Buffer.concat([header, callOf('call')]));
    expect(statusOf(answer)).toBe(400);
  });
});

/** A carrier of a socket's bytes that writes these in one piece with the first ones. */
function withFirst(socket: Socket, first: Buffer): Duplex {
  let before: Buffer | undefined = first;
  const carrier = new Duplex({
    read: () => {},
    write: (chunk: Buffer, _encoding, written) => {
      socket.write(before === undefined ? chunk : Buffer.concat([before, chunk]), written);
      before = undefined;
    },
  });
  socket.on('data', chunk => carrier.push(chunk)).on('end', () => carrier.push(null));
  return carrier;
}

/** A connection of a client on which a call was answered, and which stays open. */
async function hold(port: PublicPort, client: string): Promise<Socket> {
  const call = healthCheck('Host: a\r\n').replace('Connection: close\r\n', '');
  const socket = await open(port, proxyV1(client), Buffer.from(call));
  await once(socket, 'data');
  return socket;
}

/** Sends a health check over HTTP/2, and gives its status. */
async function check(session: http2.ClientHttp2Session, id: string): Promise<number> {
  const path = '/grpc.health.v1.Health/Check';
  const fields = { ':method': 'POST', ':path': path, 'content-type': 'application/json', 'x-request-id': id };
  const stream = session.request(fields);
  stream.end('{}').resume();
  const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  return headers[':status'] as unknown as number;
}
