import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { describe, expect, it } from 'vitest';
import { networkOf } from '#src/http/guards/connection-limits.ts';
import { openPublicPort } from '#test/support/public-port.ts';
import { healthCheck, sendRaw, statusOf } from '#test/support/raw-http.ts';
import { selfSigned } from '#test/support/self-signed.ts';

/** A connection that stays open; every address of 127.0.0.0/8 is this machine. */
async function hold(port: number, localAddress = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.write('P');
  await once(socket, 'connect');
  return socket;
}

async function expectReset(socket: Socket): Promise<void> {
  const [error] = await once(socket, 'error');
  expect(error).toMatchObject({ code: 'ECONNRESET' });
}

const send = (port: number, localAddress: string) => {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.write(healthCheck('Host: a\r\n'));
  return socket;
};

describe('connections of one address', () => {
  const connections = { perAddress: 3 };

  it('above the limit are reset, counted and logged, and other addresses are served', async () => {
    await using port = await openPublicPort({ connections });
    const held = await Promise.all([1, 2, 3].map(() => hold(port.port)));
    await expectReset(send(port.port, '127.0.0.1'));
    const [answer] = await once(send(port.port, '127.0.0.2'), 'data');
    expect(statusOf(String(answer))).toBe(200);
    expect(await port.metric('http_connections_refused_total{reason="TOO_MANY_OF_ADDRESS"}')).toBe(1);
    expect(await port.log.line({ event: 'connection-refused' })).toMatchObject({
      level: 40,
      remoteAddress: '127.0.0.1',
      msg: expect.stringContaining('CONNECTIONS_PER_ADDRESS'),
    });
    for (const socket of held) socket.destroy();
  });

  it('are taken again when earlier ones have closed', async () => {
    await using port = await openPublicPort({ connections });
    for (let call = 0; call < 20; call++) {
      expect(statusOf(await sendRaw(port.port, healthCheck('Host: a\r\n')))).toBe(200);
    }
    expect(await port.metric('http_connections_refused_total{reason="TOO_MANY_OF_ADDRESS"}')).toBe(0);
  });

  it('above the limit are reset over TLS, before the handshake', async () => {
    const tls = selfSigned();
    await using port = await openPublicPort({ connections, tls });
    const held = await Promise.all([1, 2, 3].map(() => hold(port.port)));
    const socket = connectTls({ port: port.port, host: '127.0.0.1', ca: tls.cert });
    const [error] = await once(socket, 'error');
    expect(error).toMatchObject({ code: 'ECONNRESET' });
    for (const each of held) each.destroy();
  });

  it('leave a line a second in the log, however many are refused', async () => {
    await using port = await openPublicPort({ connections: { perAddress: 1 } });
    const held = await hold(port.port);
    const before = performance.now();
    for (let i = 0; i < 50; i++) await expectReset(send(port.port, '127.0.0.1'));
    const seconds = Math.ceil((performance.now() - before) / 1000);
    const lines = port.log.lines.filter(line => line.event === 'connection-refused');
    expect(lines.length).toSatisfy((n: number) => n >= 1 && n <= seconds);
    expect(await port.metric('http_connections_refused_total{reason="TOO_MANY_OF_ADDRESS"}')).toBe(50);
    held.destroy();
  });
});

describe('connections of all addresses', () => {
  it('above the limit are reset, and counted', async () => {
    await using port = await openPublicPort({ connections: { max: 2 } });
    const held = await Promise.all(['127.0.0.1', '127.0.0.2'].map(address => hold(port.port, address)));
    await expectReset(send(port.port, '127.0.0.3'));
    expect(await port.metric('http_connections_refused_total{reason="TOO_MANY"}')).toBe(1);
    expect(await port.metric('http_connections')).toBe(2);
    for (const socket of held) socket.destroy();
  });
});

describe('the network of an address', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1:2::1', '2001:db8:1:2'],
    ['2001:db8::1', '2001:db8:0:0'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['::1', '0:0:0:0'],
    ['', ''],
  ])('%s is %s', (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});
