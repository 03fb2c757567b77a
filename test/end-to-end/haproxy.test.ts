import http from 'node:http';
import http2 from 'node:http2';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { describe, expect, it } from 'vitest';
import { Health } from '#gen/grpc/health/v1/health_pb.js';
import { startHaproxy } from '#test/support/haproxy.ts';
import { openPublicPort } from '#test/support/public-port.ts';

const PATH = '/grpc.health.v1.Health/Check';

/** Resolves when there is an answer, or none; proxies have answers of their own. */
const ODD_CLIENTS = {
  'HTTP/1.1': (url: string, fields: Readonly<Record<string, string>>) =>
    new Promise<void>(resolve => {
      const request = http.request(`${url}${PATH}`, { method: 'POST', headers: fields });
      request.on('response', response => response.resume().on('close', resolve)).on('error', () => resolve());
      request.end('{}');
    }),
  'HTTP/2': (url: string, fields: Readonly<Record<string, string>>) =>
    new Promise<void>(resolve => {
      const session = http2.connect(url, { maxSendHeaderBlockLength: 1_000_000 }).on('error', () => {});
      const stream = session.request({ ':method': 'POST', ':path': PATH, ...fields }).on('error', () => {});
      stream.on('close', () => {
        session.destroy();
        resolve();
      });
      stream.resume().end('{}');
    }),
};

describe('behind HAProxy, whose clients share its connections over HTTP/2', () => {
  it.each(Object.entries(ODD_CLIENTS))('no call fails beside requests with many fields over %s', async (_, ask) => {
    await using port = await openPublicPort({ connections: { perAddress: 100 } });
    await using haproxy = await startHaproxy({ mode: 'http', upstream: port.port, serverOptions: 'proto h2' });
    const clients = [
      createClient(Health, createConnectTransport({ baseUrl: haproxy.url, httpVersion: '1.1' })),
      createClient(Health, createGrpcTransport({ baseUrl: haproxy.url })),
    ];
    for (const count of [90, 95, 100, 120, 200, 300, 600, 1000, 1500, 2500, 5000]) {
      const fields = Object.fromEntries(Array.from({ length: count }, (_, n) => [`x-${n}`, '1']));
      const good = () => clients.flatMap(client => Array.from({ length: 10 }, () => client.check({})));
      await Promise.all([...good(), ask(haproxy.url, { 'content-type': 'application/json', ...fields }), ...good()]);
    }
    expect(await port.metric('http_connections_ended_total{reason="PROTOCOL_ERROR"}')).toBe(0);
  });
});
