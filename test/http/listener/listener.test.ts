import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { describe, expect, it } from 'vitest';
import { Health, HealthCheckResponse_ServingStatus as Status } from '#gen/grpc/health/v1/health_pb.js';
import { ListenError } from '#src/http/listener/open-port.ts';
import { openPublicPort } from '#test/support/public-port.ts';
import { healthCheck, readToEnd, sendRaw, statusOf } from '#test/support/raw-http.ts';
import { selfSigned } from '#test/support/self-signed.ts';

type MakeTransport = (baseUrl: string, ca?: string) => Transport;

const TRANSPORTS: readonly [string, MakeTransport][] = [
  [
    'Connect over HTTP/1.1',
    (baseUrl, ca) => createConnectTransport({ baseUrl, httpVersion: '1.1', nodeOptions: { ca } }),
  ],
  ['Connect over HTTP/2', (baseUrl, ca) => createConnectTransport({ baseUrl, httpVersion: '2', nodeOptions: { ca } })],
  ['gRPC over HTTP/2', (baseUrl, ca) => createGrpcTransport({ baseUrl, nodeOptions: { ca } })],
  [
    'gRPC-Web over HTTP/1.1',
    (baseUrl, ca) => createGrpcWebTransport({ baseUrl, httpVersion: '1.1', nodeOptions: { ca } }),
  ],
  ['gRPC-Web over HTTP/2', (baseUrl, ca) => createGrpcWebTransport({ baseUrl, httpVersion: '2', nodeOptions: { ca } })],
];

/** RFC 9113, 6.5: a SETTINGS frame without a setting. */
const EMPTY_SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);

describe('the public port in clear text', () => {
  it.each(TRANSPORTS)('serves %s', async (_name, makeTransport) => {
    await using port = await openPublicPort();
    const health = createClient(Health, makeTransport(port.url));
    expect((await health.check({})).status).toBe(Status.SERVING);
  });

  it('reads an HTTP/1.1 request that comes byte by byte', async () => {
    await using port = await openPublicPort();
    const socket = connect({ port: port.port, noDelay: true });
    const answer = readToEnd(socket);
    for (const byte of healthCheck('Host: x\r\n')) {
      await new Promise(sent => socket.write(byte, sent));
      await new Promise(setImmediate);
    }
    expect(statusOf(await answer)).toBe(200);
  });

  it('knows HTTP/2 when the preface comes byte by byte', async () => {
    await using port = await openPublicPort();
    const socket = connect({ port: port.port, noDelay: true });
    for (const byte of 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n') {
      await new Promise(sent => socket.write(byte, sent));
      await new Promise(setImmediate);
    }
    socket.write(EMPTY_SETTINGS);
    const [frame] = (await once(socket, 'data')) as [Buffer];
    expect(frame[3], 'the type of the first frame: SETTINGS').toBe(4);
    socket.destroy();
  });

  it('drops a connection that ends before its protocol is known', async () => {
    await using port = await openPublicPort();
    const socket = connect(port.port);
    socket.end('PR');
    expect(await readToEnd(socket)).toBe('');
    expect(port.log.lines).toEqual([]);
  });

  it('ends an HTTP/2 session whose client has half-closed the connection', async () => {
    await using port = await openPublicPort();
    const socket = connect(port.port);
    socket.end(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), EMPTY_SETTINGS]));
    await readToEnd(socket);
    expect(socket.destroyed).toBe(true);
  });

  it('serves a request with Upgrade: h2c over HTTP/1.1, as Java sends it', async () => {
    await using port = await openPublicPort();
    const upgrade = 'Host: x\r\nUpgrade: h2c\r\nHTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\n';
    expect(statusOf(await sendRaw(port.port, healthCheck(upgrade)))).toBe(200);
  });

  it('says who has the port when it is taken', async () => {
    await using port = await openPublicPort();
    const second = openPublicPort({ port: port.port });
    await expect(second).rejects.toThrow(ListenError);
    await expect(second).rejects.toThrow(
      `127.0.0.1:${port.port} is in use by another process: stop that one, or set PORT to another port (0 picks a free one)`,
    );
  });
});

describe('the public port over TLS', () => {
  const tls = selfSigned();

  it.each(TRANSPORTS)('serves %s', async (_name, makeTransport) => {
    await using port = await openPublicPort({ tls });
    expect(port.url).toMatch(/^https:/);
    const health = createClient(Health, makeTransport(port.url, tls.cert));
    expect((await health.check({})).status).toBe(Status.SERVING);
  });

  it.each([
    [['h2', 'http/1.1'], 'h2'],
    [['http/1.1', 'h2'], 'h2'],
    [['http/1.1'], 'http/1.1'],
    [['h2'], 'h2'],
  ])('answers the ALPN offer %j with %s', async (offer, chosen) => {
    await using port = await openPublicPort({ tls });
    const socket = connectTls({ port: port.port, host: '127.0.0.1', ca: tls.cert, ALPNProtocols: offer });
    await once(socket, 'secureConnect');
    expect(socket.alpnProtocol).toBe(chosen);
    socket.destroy();
  });

  it('speaks HTTP/1.1 with a client that offers nothing', async () => {
    await using port = await openPublicPort({ tls });
    const socket = connectTls({ port: port.port, host: '127.0.0.1', ca: tls.cert });
    socket.write(healthCheck('Host: localhost\r\n'));
    expect(statusOf(await readToEnd(socket))).toBe(200);
  });

  it('refuses a bad Host as in clear text', async () => {
    await using port = await openPublicPort({ tls });
    const socket = connectTls({ port: port.port, host: '127.0.0.1', ca: tls.cert });
    socket.write(healthCheck('Host: foo|bar\r\n'));
    expect(statusOf(await readToEnd(socket))).toBe(400);
  });

  it('survives clear text, and a handshake that breaks off', async () => {
    await using port = await openPublicPort({ tls });
    await sendRaw(port.port, healthCheck('Host: x\r\n'));
    const socket = connect(port.port);
    socket.end(Buffer.from([0x16, 3, 1, 2, 0, 1, 0]));
    await readToEnd(socket);
    const health = createClient(Health, createGrpcTransport({ baseUrl: port.url, nodeOptions: { ca: tls.cert } }));
    expect((await health.check({})).status).toBe(Status.SERVING);
  });
});
