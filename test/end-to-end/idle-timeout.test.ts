import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { openPublicPort } from '#test/support/public-port.ts';
import { healthCheck, readToEnd } from '#test/support/raw-http.ts';

const call = healthCheck('Host: a\r\n').replace('Connection: close\r\n', '');

/** The field Keep-Alive of the answer to a request on a new connection. */
async function announced(port: number, request: string): Promise<string | undefined> {
  const socket = connect(port, '127.0.0.1');
  socket.write(request);
  const head = await nextAnswer(socket);
  socket.destroy();
  return /^keep-alive: (.*)\r$/im.exec(head)?.[1];
}

async function nextAnswer(socket: Socket): Promise<string> {
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  return String(bytes);
}

describe('the idle timeout of HTTP/1.1 connections', () => {
  it.each([
    ['a call on the fast path', true, call],
    ['a call that connect-node serves', false, call],
    ['a GET', true, 'GET /grpc.health.v1.Health/Check?encoding=json&message=%7B%7D HTTP/1.1\r\nHost: a\r\n\r\n'],
    ['a refusal', true, call.replace('/grpc.health.v1.Health/Check', '/nothing')],
  ])('is announced with the answer to %s', async (_name, fastPath, request) => {
    await using port = await openPublicPort({ fastPath, connections: { idleTimeoutMs: 620_000 } });
    expect(await announced(port.port, request)).toBe('timeout=620');
  });

  it('is not announced where the connection closes with the answer', async () => {
    await using port = await openPublicPort();
    expect(await announced(port.port, healthCheck('Host: a\r\n'))).toBeUndefined();
  });

  it('closes a connection after that time without a request, and each request begins it again', async () => {
    await using port = await openPublicPort({ connections: { idleTimeoutMs: 1000 } });
    const socket = connect(port.port, '127.0.0.1');
    socket.write(call);
    expect(await nextAnswer(socket)).toMatch(/^keep-alive: timeout=1\r$/im);
    socket.write(call);
    await nextAnswer(socket);
    const idleSince = performance.now();
    expect(await readToEnd(socket)).toBe('');
    expect(performance.now() - idleSince).toBeGreaterThanOrEqual(990);
  });

  it('does not hold a connection open that has never sent a request', async () => {
    await using port = await openPublicPort({ connections: { idleTimeoutMs: 86_400_000 } });
    const socket = connect(port.port, '127.0.0.1');
    expect(await readToEnd(socket)).toBe('');
  });

  it('does not hold up the closing of the port', async () => {
    await using port = await openPublicPort({ connections: { idleTimeoutMs: 86_400_000 } });
    const socket = connect(port.port, '127.0.0.1');
    socket.write(call);
    await nextAnswer(socket);
    const closed = readToEnd(socket);
    expect(await port.listener.close(60_000)).toBe(0);
    expect(await closed).toBe('');
  });
});
