import { once } from 'node:events';
import http from 'node:http';
import { connect } from 'node:net';
import { describe, expect, it } from 'vitest';
import { openPublicPort } from '#test/support/public-port.ts';
import { readToEnd, statusOf } from '#test/support/raw-http.ts';

const MIB = 1024 * 1024;
const head = (path: string, headers: string) =>
  `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n${headers}\r\n`;
const chunkOf = (bytes: number) => `${bytes.toString(16)}\r\n${' '.repeat(bytes)}\r\n`;
const CHECK = '/grpc.health.v1.Health/Check';

describe('an HTTP/1.1 answer before the end of the body', () => {
  it.each([
    ['too large', 429, head(CHECK, `Content-Length: ${64 * MIB}\r\n`)],
    ['too large, in chunks', 429, head(CHECK, 'Transfer-Encoding: chunked\r\n') + chunkOf(5 * MIB)],
    ['too large, and the client closes', 429, head(CHECK, `Connection: close\r\nContent-Length: ${64 * MIB}\r\n`)],
    ['of no RPC', 404, head('/nothing', `Content-Length: ${MIB}\r\n`)],
    ['of a form', 415, head(CHECK, `Content-Length: ${MIB}\r\n`).replace('application/json', 'text/plain')],
  ])('that is %s says that the connection closes, and it does', async (_, status, bytes) => {
    await using port = await openPublicPort();
    const socket = connect(port.port, '127.0.0.1');
    socket.write(bytes);
    const answer = await readToEnd(socket);
    expect(statusOf(answer)).toBe(status);
    expect(answer).toMatch(/^connection: close\r$/im);
    expect(answer).not.toMatch(/keep-alive/i);
  });

  it('is not read as the answer to a second request, which the client sends on another connection', async () => {
    await using port = await openPublicPort({ requestMaxBytes: 1024 });
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    for (let call = 0; call < 20; call++) {
      const size = call % 2 === 0 ? 2 * MIB : 2;
      const headers = { 'content-type': 'application/json', 'content-length': size };
      const request = http.request({ port: port.port, host: '127.0.0.1', method: 'POST', path: CHECK, headers, agent });
      request.on('error', () => {});
      request.end(size === 2 ? '{}' : Buffer.alloc(size, ' '));
      const [response] = (await once(request, 'response')) as [http.IncomingMessage];
      expect(response.statusCode).toBe(size === 2 ? 200 : 429);
      response.resume();
      await once(response, 'end');
    }
    agent.destroy();
  });

  it('keeps the connection where the rest of the body is small', async () => {
    await using port = await openPublicPort();
    const socket = connect(port.port, '127.0.0.1').setEncoding('latin1');
    socket.write(head('/nothing', 'Content-Length: 1000\r\n'));
    const [first] = await once(socket, 'data');
    expect(first).toMatch(/^connection: keep-alive\r$/im);
    socket.destroy();
  });

  it('keeps the connection where the body came whole in chunks', async () => {
    await using port = await openPublicPort();
    const socket = connect(port.port, '127.0.0.1').setEncoding('latin1');
    socket.write(`${head(CHECK, 'Transfer-Encoding: chunked\r\n')}2\r\n{}\r\n0\r\n\r\n`);
    const [first] = await once(socket, 'data');
    expect(statusOf(first)).toBe(200);
    expect(first).toMatch(/^connection: keep-alive\r$/im);
    socket.destroy();
  });

  it('is followed by no other, though the client goes on', async () => {
    await using port = await openPublicPort({ requestMaxBytes: 1024 });
    const socket = connect(port.port, '127.0.0.1');
    socket.on('connect', () => {
      socket.write(head(CHECK, `Content-Length: ${MIB}\r\n`));
      socket.once('data', () => {
        socket.write(Buffer.alloc(MIB, ' '));
        socket.write(`${head(CHECK, 'Content-Length: 2\r\nX-Request-Id: second\r\n')}{}`);
      });
    });
    const answer = await readToEnd(socket);
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 429']);
    expect(port.log.lines.filter(line => line.id === 'second')).toEqual([]);
  });
});
