import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { connect, type Socket } from 'node:net';
import { Code, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { describe, expect, it } from 'vitest';
import { Health } from '#gen/grpc/health/v1/health_pb.js';
import { createTrustedProxies } from '#src/http/clients/trusted-proxies.ts';
import { FLAG, FRAME, frame } from '#test/support/http2-frames.ts';
import { openPublicPort } from '#test/support/public-port.ts';
import { healthCheck, readToEnd, statusOf } from '#test/support/raw-http.ts';

const PROXY = '127.0.0.1';
const STRANGER = '127.0.0.2';
const TRUSTED = { trustedProxies: [PROXY] };

/** Sends a call from an address of this machine; `lines` are header lines. */
async function callFrom(localAddress: string, port: number, lines = ''): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.write(healthCheck(`Host: a\r\n${lines}`));
  return readToEnd(socket);
}

describe('a trusted proxy', () => {
  it.each([
    ['0.0.0.0/0', '203.0.113.9', true],
    ['10.0.0.0/8', '10.255.0.1', true],
    ['10.0.0.0/8', '11.0.0.1', false],
    ['10.1.2.3/8', '10.255.0.1', true],
    ['192.0.2.1', '192.0.2.1', true],
    ['192.0.2.1', '192.0.2.2', false],
    ['192.0.2.0/24', '::ffff:192.0.2.9', true],
    ['::ffff:192.0.2.0/120', '192.0.2.9', true],
    ['2001:db8::/33', '2001:db8:7fff::1', true],
    ['2001:db8::/33', '2001:db8:8000::1', false],
    ['::1', '::1', true],
    ['fe80::/10', 'fe80::1%eth0', true],
    ['10.0.0.0/8', '', false],
  ])('of %s: whether %s is one', (network, address, isOne) => {
    expect(createTrustedProxies([network])?.(address)).toBe(isOne);
  });

  it('names the client in the log, by X-Forwarded-For or by Forwarded', async () => {
    await using port = await openPublicPort(TRUSTED);
    await callFrom(PROXY, port.port, 'X-Request-Id: one\r\nX-Forwarded-For: 203.0.113.9, 192.0.2.7\r\n');
    await callFrom(PROXY, port.port, 'X-Request-Id: two\r\nForwarded: for="[2001:db8::7]:4711"\r\n');
    expect(await port.log.line({ id: 'one' })).toMatchObject({ remoteAddress: '192.0.2.7' });
    expect(await port.log.line({ id: 'two' })).toMatchObject({ remoteAddress: '2001:db8::7' });
  });

  it.each([
    ['on the fast path', true],
    ['by connect-node', false],
  ])('names the client of each stream of an HTTP/2 connection, served %s', async (_name, fastPath) => {
    await using port = await openPublicPort({ ...TRUSTED, fastPath });
    const session = http2.connect(port.url);
    for (const client of ['192.0.2.7', '192.0.2.8']) {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/grpc.health.v1.Health/Check',
        'content-type': 'application/json',
        'x-request-id': client,
        'x-forwarded-for': client,
      });
      stream.end('{}').resume();
      await once(stream, 'close');
      expect(await port.log.line({ id: client })).toMatchObject({ remoteAddress: client });
    }
    session.destroy();
  });

  it('names the client of a request that is refused', async () => {
    await using port = await openPublicPort(TRUSTED);
    const lines = 'X-Request-Id: refused\r\nX-Forwarded-For: 192.0.2.7\r\n';
    const socket = connect(port.port, '127.0.0.1');
    socket.write(healthCheck(`Host: a\r\n${lines}`).replace('Health/Check', 'Health/Nothing'));
    expect(statusOf(await readToEnd(socket))).toBe(404);
    expect(await port.log.line({ id: 'refused' })).toMatchObject({ remoteAddress: '192.0.2.7' });
  });

  it('is itself the client where it names none', async () => {
    await using port = await openPublicPort(TRUSTED);
    await callFrom(PROXY, port.port, 'X-Request-Id: own\r\n');
    expect(await port.log.line({ id: 'own' })).toMatchObject({ remoteAddress: PROXY });
  });
});

describe('anyone else', () => {
  it.each([
    ['where others are trusted', TRUSTED],
    ['where nobody is trusted', {}],
  ])('names nobody, %s', async (_name, options) => {
    await using port = await openPublicPort(options);
    const lines = 'X-Request-Id: spoofed\r\nX-Forwarded-For: 192.0.2.7\r\nForwarded: for=192.0.2.7\r\n';
    await callFrom(STRANGER, port.port, lines);
    expect(await port.log.line({ id: 'spoofed' })).toMatchObject({ remoteAddress: STRANGER });
  });
});

/** A service that answers GetPost when it is told to, behind a proxy at 127.0.0.1. */
async function openHeldPort(perAddress: number) {
  const release = Promise.withResolvers<void>();
  const begun: (() => void)[] = [];
  const getPost = async () => {
    begun.shift()?.();
    await release.promise;
    return {};
  };
  const port = await openPublicPort({ ...TRUSTED, posts: { getPost }, connections: { perAddress } });
  /** Sends a GetPost of a client by HTTP/1.1, as a proxy would, and gives its status. */
  const call = (client: string): Promise<number | undefined> =>
    new Promise((resolve, reject) => {
      const headers = { 'content-type': 'application/json', 'x-forwarded-for': client };
      const path = '/blog.v1.PostService/GetPost';
      const request = http.request({ host: '127.0.0.1', port: port.port, path, method: 'POST', headers, agent: false });
      request.on('error', reject).on('response', response => {
        response.resume().on('end', () => resolve(response.statusCode));
      });
      request.end('{}');
    });
  /** Resolves when the call runs. */
  const begin = async (client: string) => {
    const runs = new Promise<void>(resolve => begun.push(resolve));
    const status = call(client);
    await runs;
    return { status };
  };
  return { port, call, begin, release: release.resolve, [Symbol.asyncDispose]: () => port[Symbol.asyncDispose]() };
}

describe('the limit per address, behind a trusted proxy', () => {
  it('holds for the calls in flight of each client', async () => {
    await using held = await openHeldPort(2);
    const greedy = [await held.begin('192.0.2.7'), await held.begin('192.0.2.7')];
    expect(await held.call('192.0.2.7')).toBe(429);
    const others = [await held.begin('192.0.2.8'), await held.begin('192.0.2.9')];
    held.release();
    for (const { status } of [...greedy, ...others]) expect(await status).toBe(200);
    expect(await held.call('192.0.2.7')).toBe(200);
    expect(await held.port.metric('http_non_rpc_requests_total{reason="TOO_MANY_CALLS",status="429"}')).toBe(1);
  });

  it('counts an IPv6 network of 64 bits as one client', async () => {
    await using held = await openHeldPort(1);
    const { status } = await held.begin('2001:db8::1');
    expect(await held.call('2001:db8::ffff')).toBe(429);
    const other = await held.begin('2001:db8:0:1::1');
    held.release();
    expect([await status, await other.status]).toEqual([200, 200]);
  });

  it('says what the limit is about, as a Connect error', async () => {
    await using held = await openHeldPort(1);
    const { status } = await held.begin('192.0.2.7');
    const lines = 'X-Forwarded-For: 192.0.2.7\r\n';
    const answer = await callFrom(PROXY, held.port.port, lines);
    expect(statusOf(answer)).toBe(429);
    expect(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4))).toMatchObject({
      code: 'resource_exhausted',
      message: expect.stringContaining('in flight'),
      details: [{ debug: { reason: 'TOO_MANY_CALLS' } }],
    });
    held.release();
    await status;
  });

  it('says so to a gRPC client as RESOURCE_EXHAUSTED', async () => {
    await using held = await openHeldPort(1);
    const { status } = await held.begin('192.0.2.7');
    const client = createClient(Health, createGrpcTransport({ baseUrl: held.port.url }));
    const call = client.check({}, { headers: { 'x-forwarded-for': '192.0.2.7' } });
    await expect(call).rejects.toMatchObject({ code: Code.ResourceExhausted });
    held.release();
    await status;
  });

  it('is given back by a call whose client has gone', async () => {
    await using held = await openHeldPort(1);
    const socket = connect(held.port.port, '127.0.0.1');
    const head = 'Host: a\r\nX-Request-Id: gone\r\nX-Forwarded-For: 192.0.2.7\r\n';
    socket.write(healthCheck(head).replace('grpc.health.v1.Health/Check', 'blog.v1.PostService/GetPost'));
    await once(socket, 'connect');
    // A second call is refused as soon as the first one runs.
    let status = 200;
    while (status !== 429)
      status = statusOf(await callFrom(PROXY, held.port.port, 'X-Forwarded-For: 192.0.2.7\r\n')) ?? 0;
    socket.destroy();
    await held.port.log.line({ id: 'gone' });
    expect(statusOf(await callFrom(PROXY, held.port.port, 'X-Forwarded-For: 192.0.2.7\r\n'))).toBe(200);
  });

  it('holds for the streams of an HTTP/2 connection that many share', async () => {
    await using held = await openHeldPort(1);
    const session = http2.connect(held.port.url);
    const ask = (client: string) => {
      const stream = session.request({
        ':method': 'POST',
        ':path': '/blog.v1.PostService/GetPost',
        'content-type': 'application/json',
        'x-forwarded-for': client,
      });
      stream.end('{}').resume();
      return once(stream, 'response').then(([headers]) => headers[':status'] as number);
    };
    const { status } = await held.begin('192.0.2.7');
    expect(await ask('192.0.2.7')).toBe(429);
    const other = ask('192.0.2.8');
    held.release();
    expect(await other).toBe(200);
    expect(await status).toBe(200);
    expect(await ask('192.0.2.7')).toBe(200);
    session.destroy();
  });

  it('counts a stream once that the fast path does not serve', async () => {
    await using port = await openPublicPort({ ...TRUSTED, connections: { perAddress: 1 } });
    const session = http2.connect(port.url);
    const stream = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc-web+proto',
      'x-forwarded-for': '192.0.2.7',
    });
    stream.end(Buffer.alloc(5)).resume();
    const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    expect(headers).toMatchObject({ ':status': 200, 'content-type': 'application/grpc-web+proto' });
    session.destroy();
  });

  it('does not hold for clients that the proxy does not name, nor for itself', async () => {
    await using held = await openHeldPort(1);
    const names = ['127.0.0.1', '127.0.0.1', 'unknown', 'unknown'];
    const calls = [];
    for (const name of names) calls.push(await held.begin(name));
    held.release();
    for (const { status } of calls) expect(await status).toBe(200);
  });

  it('does not hold for the connections of the proxy', async () => {
    await using port = await openPublicPort({ ...TRUSTED, connections: { perAddress: 1 } });
    const held = await Promise.all([1, 2, 3].map(() => hold(port.port)));
    expect(statusOf(await callFrom(PROXY, port.port))).toBe(200);
    for (const socket of held) socket.destroy();
  });

  it('holds for the connections of anyone else', async () => {
    await using port = await openPublicPort({ ...TRUSTED, connections: { perAddress: 1 } });
    const held = await hold(port.port, STRANGER);
    expect(await callFrom(STRANGER, port.port)).toBe('');
    expect(await port.metric('http_connections_refused_total{reason="TOO_MANY_OF_ADDRESS"}')).toBe(1);
    held.destroy();
  });

  it('is none where it is 0', async () => {
    await using held = await openHeldPort(0);
    const calls = [await held.begin('192.0.2.7'), await held.begin('192.0.2.7'), await held.begin('192.0.2.7')];
    held.release();
    for (const { status } of calls) expect(await status).toBe(200);
  });
});

describe('a flood over a connection of a trusted proxy', () => {
  it('does not keep the proxy from opening another one', async () => {
    await using port = await openPublicPort({ ...TRUSTED, connections: { perAddress: 100 } });
    for (let i = 0; i < 5; i++) await flood(port.port);
    // Whether we or nghttp2 sees it first is chance.
    const ended = ['FLOOD', 'PROTOCOL_ERROR'].map(reason =>
      port.metric(`http_connections_ended_total{reason="${reason}"}`),
    );
    expect((await Promise.all(ended)).reduce((sum, count) => sum + count)).toBe(5);
    expect(statusOf(await callFrom(PROXY, port.port))).toBe(200);
    expect(await port.metric('http_connections_refused_total{reason="FLOODED"}')).toBe(0);
  });
});

/** Sends pings until the service ends the connection. */
async function flood(port: number): Promise<void> {
  const socket = connect(port, '127.0.0.1');
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  const pings = Buffer.concat(Array.from({ length: 5000 }, () => frame(FRAME.ping, FLAG.none, 0, Buffer.alloc(8))));
  socket.write(Buffer.concat([frame(FRAME.settings, FLAG.none, 0), pings]));
  await readToEnd(socket);
}

/** A connection that stays open. */
async function hold(port: number, localAddress = PROXY): Promise<Socket> {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.write('P');
  await once(socket, 'connect');
  return socket;
}
