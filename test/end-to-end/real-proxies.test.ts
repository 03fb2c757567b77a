import { once } from 'node:events';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { describe, expect, it } from 'vitest';
import { Health } from '#gen/grpc/health/v1/health_pb.js';
import { startHaproxy } from '#test/support/haproxy.ts';
import { startNginxCache } from '#test/support/nginx.ts';
import { openPublicPort } from '#test/support/public-port.ts';
import { healthCheck, readToEnd, statusOf } from '#test/support/raw-http.ts';
import { selfSigned } from '#test/support/self-signed.ts';

/** Every address of 127.0.0.0/8 is this machine: the proxies connect from the first one, clients from another one. */
const CLIENT = '127.0.0.7';
const TRUSTED = { trustedProxies: ['127.0.0.1'] };

async function callFrom(localAddress: string, port: number, head: string): Promise<number | undefined> {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  socket.write(healthCheck(`Host: a\r\n${head}`));
  return statusOf(await readToEnd(socket));
}

describe.each(['send-proxy', 'send-proxy-v2', 'send-proxy-v2-ssl-cn'])('behind HAProxy with %s', serverOptions => {
  it('a call over HTTP/1.1 has its client in the log', async () => {
    await using port = await openPublicPort({ ...TRUSTED, proxyProtocol: true });
    await using haproxy = await startHaproxy({ mode: 'tcp', upstream: port.port, serverOptions });
    expect(await callFrom(CLIENT, haproxy.port, 'X-Request-Id: call\r\n')).toBe(200);
    expect(await port.log.line({ id: 'call' })).toMatchObject({ remoteAddress: CLIENT });
  });

  it('a gRPC client is served', async () => {
    await using port = await openPublicPort({ ...TRUSTED, proxyProtocol: true });
    await using haproxy = await startHaproxy({ mode: 'tcp', upstream: port.port, serverOptions });
    const client = createClient(Health, createGrpcTransport({ baseUrl: `http://127.0.0.1:${haproxy.port}` }));
    await client.check({}, { headers: { 'x-request-id': 'call' } });
    expect(await port.log.line({ id: 'call' })).toMatchObject({ protocol: 'grpc', httpVersion: '2.0' });
  });

  it('TLS goes through to the service', async () => {
    const tls = selfSigned();
    await using port = await openPublicPort({ ...TRUSTED, proxyProtocol: true, tls });
    await using haproxy = await startHaproxy({ mode: 'tcp', upstream: port.port, serverOptions });
    const raw = connect({ port: haproxy.port, host: '127.0.0.1', localAddress: CLIENT });
    const socket = connectTls({ socket: raw, ca: tls.cert, servername: 'localhost' });
    await once(socket, 'secureConnect');
    socket.write(healthCheck('Host: a\r\nX-Request-Id: call\r\n'));
    expect(statusOf(await readToEnd(socket))).toBe(200);
    expect(await port.log.line({ id: 'call' })).toMatchObject({ remoteAddress: CLIENT });
  });
});

describe("HAProxy's health check with the PROXY protocol", () => {
  it('is answered, and is the proxy itself (LOCAL)', async () => {
    await using port = await openPublicPort({ ...TRUSTED, proxyProtocol: true });
    const options = {
      serverOptions: 'send-proxy-v2 check inter 100ms check-send-proxy',
      lines:
        'option httpchk POST /grpc.health.v1.Health/Check\n  http-check send hdr Host a hdr Content-Type application/json body {}',
    };
    await using _haproxy = await startHaproxy({ mode: 'tcp', upstream: port.port, ...options });
    expect(await port.log.line({ path: '/grpc.health.v1.Health/Check' })).toMatchObject({
      remoteAddress: '127.0.0.1',
    });
  });
});

describe.each([
  ['HTTP/1.1', ''],
  ['HTTP/2', 'proto h2'],
])('behind HAProxy with option forwardfor, over %s', (_name, serverOptions) => {
  it('a call has its client in the log, whatever it says itself', async () => {
    await using port = await openPublicPort(TRUSTED);
    const lines = 'option forwardfor';
    await using haproxy = await startHaproxy({ mode: 'http', upstream: port.port, serverOptions, lines });
    expect(await callFrom(CLIENT, haproxy.port, 'X-Request-Id: call\r\nX-Forwarded-For: 203.0.113.9\r\n')).toBe(200);
    expect(await port.log.line({ id: 'call' })).toMatchObject({ remoteAddress: CLIENT });
  });
});

describe('behind NGINX, and behind HAProxy in front of NGINX', () => {
  it('a call has its client in the log, whatever it says itself', async () => {
    await using port = await openPublicPort(TRUSTED);
    await using nginx = await startNginxCache(port.url);
    const nginxPort = Number(new URL(nginx.url).port);
    await using haproxy = await startHaproxy({ mode: 'http', upstream: nginxPort, lines: 'option forwardfor' });
    const evil = 'X-Forwarded-For: 203.0.113.9, 10.0.0.1\r\nForwarded: for=203.0.113.9\r\n';
    expect(await callFrom(CLIENT, nginxPort, `X-Request-Id: one\r\n${evil}`)).toBe(200);
    expect(await callFrom(CLIENT, haproxy.port, `X-Request-Id: two\r\n${evil}`)).toBe(200);
    expect(await port.log.line({ id: 'one' })).toMatchObject({ remoteAddress: CLIENT });
    expect(await port.log.line({ id: 'two' })).toMatchObject({ remoteAddress: CLIENT });
  });
});
