import { once } from 'node:events';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport } from '@connectrpc/connect-node';
import { describe, expect, it } from 'vitest';
import { Health } from '#gen/grpc/health/v1/health_pb.js';
import { openPublicPort } from '#test/support/public-port.ts';
import { healthCheck, statusOf } from '#test/support/raw-http.ts';
import { selfSigned } from '#test/support/self-signed.ts';

const connections = { maxAgeMs: 50, maxAgeGraceMs: 60_000 };
const times = { lookEveryMs: 10 };
const keepAlive = healthCheck('Host: a\r\n').replace('Connection: close\r\n', '');

describe('a connection that has reached its age', () => {
  it('over HTTP/1.1 is answered once more, and told to close', async () => {
    await using port = await openPublicPort({ connections, times });
    const socket = connect(port.port, '127.0.0.1').setEncoding('latin1');
    const answers: string[] = [];
    socket.on('data', (answer: string) => {
      answers.push(answer);
      if (!socket.destroyed) socket.write(keepAlive);
    });
    socket.write(keepAlive);
    await once(socket, 'close');
    expect(answers.map(statusOf)).toEqual(answers.map(() => 200));
    expect(answers.at(-1)).toMatch(/^connection: close\r$/im);
    expect(answers.filter(answer => /^connection: close\r$/im.test(answer))).toHaveLength(1);
    expect(await port.metric('http_connections_ended_total{reason="MAX_AGE"}')).toBe(1);
  });

  it.each([
    ['in clear text', undefined],
    ['over TLS', selfSigned()],
  ])('over HTTP/2 %s hears a GOAWAY, and its streams go on', async (_, tls) => {
    await using port = await openPublicPort({ connections, times, tls });
    const session = http2.connect(port.url, { ca: tls?.cert });
    const path = '/grpc.health.v1.Health/Watch';
    const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' });
    stream.end(Buffer.from([0, 0, 0, 0, 0]));
    await once(stream, 'data');
    const [code] = await once(session, 'goaway');
    expect(code).toBe(http2.constants.NGHTTP2_NO_ERROR);
    expect(stream.closed).toBe(false);
    stream.close(http2.constants.NGHTTP2_CANCEL);
    await once(session, 'close');
  });

  it('over HTTP/2 is cut off with its streams when the grace is over', async () => {
    await using port = await openPublicPort({ connections: { maxAgeMs: 50, maxAgeGraceMs: 100 }, times });
    const health = createClient(Health, createGrpcTransport({ baseUrl: port.url }));
    const watch = async () => {
      for await (const _ of health.watch({}));
    };
    await expect(watch()).rejects.toThrow();
    expect(await port.log.line({ procedure: 'grpc.health.v1.Health/Watch' })).toMatchObject({ aborted: true });
  });

  it('costs no call of HTTP/1.1 clients that call all the time', async () => {
    await using port = await openPublicPort({ connections, times });
    const health = createClient(Health, createConnectTransport({ baseUrl: port.url, httpVersion: '1.1' }));
    const ended = () => port.metric('http_connections_ended_total{reason="MAX_AGE"}');
    let calls = 0;
    while ((await ended()) < 5) {
      await Promise.all(Array.from({ length: 8 }, () => health.check({})));
      calls++;
    }
    expect(calls).toBeGreaterThan(0);
  });

  it('is not ended where no age is set', async () => {
    await using port = await openPublicPort({ connections: { maxAgeMs: 0 }, times });
    const health = createClient(Health, createGrpcTransport({ baseUrl: port.url }));
    for (let call = 0; call < 100; call++) await health.check({});
    expect(await port.metric('http_connections_ended_total{reason="MAX_AGE"}')).toBe(0);
  });
});
