import { fork } from 'node:child_process';
import { once } from 'node:events';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { brotliCompressSync, gzipSync, constants as zlib } from 'node:zlib';
import { Code, createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Health } from '#gen/grpc/health/v1/health_pb.js';
import { openPublicPort } from '#test/support/public-port.ts';
import { statusOf } from '#test/support/raw-http.ts';

const MIB = 1024 * 1024;
const spaces = (size: number) => Buffer.alloc(size, ' ');
const chunk = Buffer.concat([Buffer.from('10000\r\n'), spaces(65_536), Buffer.from('\r\n')]);
const post = (headers: string) =>
  `POST /grpc.health.v1.Health/Check HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n${headers}\r\n`;
const close = 'Connection: close\r\n';

describe('a body that is too large', () => {
  let server: PortProcess;
  beforeAll(async () => {
    server = await startPortProcess();
    // What grows once, at the first requests of a kind, is not what a hostile request costs.
    for (let i = 0; i < 10; i++) {
      for (const [encoding, body] of [
        ['identity', spaces(65_536)],
        ['gzip', gzipSync(spaces(65_536))],
        ['br', brotliCompressSync(spaces(65_536))],
      ] as const) {
        const headers = `Connection: close\r\nContent-Encoding: ${encoding}\r\nContent-Length: ${body.length}\r\n`;
        await sendEndless(server.port, post(headers), [body]);
      }
    }
  });
  afterAll(() => server[Symbol.asyncDispose]());

  const gzip = gzipSync(spaces(200 * MIB));
  const brotli = brotliCompressSync(spaces(200 * MIB));
  const widest = brotliCompressSync(spaces(200 * MIB), { params: { [zlib.BROTLI_PARAM_LGWIN]: 24 } });
  it.each([
    ['of 64 MB', post(`${close}Content-Length: ${64 * MIB}\r\n`), () => repeat(spaces(MIB), 64)],
    [
      'of endless chunks',
      post(`${close}Transfer-Encoding: chunked\r\n`),
      () => repeat(chunk, Number.POSITIVE_INFINITY),
    ],
    ['of 200 MB in gzip', post(`${close}Content-Encoding: gzip\r\nContent-Length: ${gzip.length}\r\n`), () => [gzip]],
    [
      'of 200 MB in brotli',
      post(`${close}Content-Encoding: br\r\nContent-Length: ${brotli.length}\r\n`),
      () => [brotli],
    ],
    [
      'of 200 MB in brotli with its widest window',
      post(`${close}Content-Encoding: br\r\nContent-Length: ${widest.length}\r\n`),
      () => [widest],
    ],
    [
      'of gRPC-Web that claims 64 MB',
      post(`Content-Length: ${64 * MIB}\r\n`).replace('/json', '/grpc-web+proto'),
      () => repeat(Buffer.concat([Buffer.from([0, 4, 0, 0, 0]), spaces(MIB)]), 64),
    ],
  ])('%s is RESOURCE_EXHAUSTED, and costs 16 MB at most', async (name, head, body) => {
    const before = await server.peakRssKb();
    const { answer, answeredMs } = await sendEndless(server.port, head, body());
    const grownMb = ((await server.peakRssKb()) - before) / 1024;
    console.log(`${name}: answered in ${Math.round(answeredMs)} ms, peak RSS +${grownMb.toFixed(1)} MB`);
    if (head.includes('grpc-web')) expect(answer).toContain('grpc-status: 8');
    else expect(answer).toContain('"code":"resource_exhausted"');
    expect(statusOf(answer)).toBe(head.includes('grpc-web') ? 200 : 429);
    expect(grownMb).toBeLessThan(16);
  });
});

describe('an HTTP/1.1 body that nobody reads', () => {
  it('is read off where it is small, and the connection goes on', async () => {
    await using port = await openPublicPort();
    const socket = connect(port.port);
    socket.setEncoding('latin1');
    const request = (path: string) =>
      `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n`;
    socket.write(request('/first'));
    await once(socket, 'data');
    socket.write(' '.repeat(1000) + request('/second') + ' '.repeat(1000));
    const [second] = await once(socket, 'data');
    expect(statusOf(second)).toBe(404);
    expect(await port.log.line({ path: '/second' })).toMatchObject({ status: 404 });
    socket.destroy();
  });

  it('closes the connection where it is large', async () => {
    await using port = await openPublicPort();
    const head = `POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${64 * MIB}\r\n\r\n`;
    const { answer } = await sendEndless(port.port, head, repeat(spaces(MIB), 64));
    expect(statusOf(answer)).toBe(404);
  });
});

describe('an HTTP/2 body that nobody reads', () => {
  it('is asked for no more, without an error, when the answer is out', async () => {
    await using port = await openPublicPort();
    const session = http2.connect(port.url);
    const stream = session.request({ ':method': 'POST', ':path': '/nothing', 'content-type': 'application/json' });
    stream.write(spaces(MIB));
    const [response] = await once(stream, 'response');
    expect(response[':status']).toBe(404);
    stream.resume();
    await once(stream, 'close');
    expect(stream.rstCode).toBe(http2.constants.NGHTTP2_NO_ERROR);
    session.destroy();
  });

  it('does not cost a gRPC client the status', async () => {
    await using port = await openPublicPort({ requestMaxBytes: 1024 });
    const health = createClient(Health, createGrpcTransport({ baseUrl: port.url }));
    await expect(health.check({ service: 'x'.repeat(MIB) })).rejects.toThrow('[resource_exhausted]');
  });

  it('is answered where it takes too long to arrive', async () => {
    await using port = await openPublicPort({ bodyTimeoutMs: 50 });
    const session = http2.connect(port.url);
    const path = '/grpc.health.v1.Health/Check';
    const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc' });
    const [answer] = await once(stream, 'response');
    expect(answer['grpc-status']).toBe(String(Code.DeadlineExceeded));
    expect(await port.log.line({ procedure: path.slice(1) })).toMatchObject({ code: 'deadline_exceeded' });
    session.destroy();
  });

  it('is refused in the protocol of its caller where it takes too long to arrive', async () => {
    await using port = await openPublicPort({ bodyTimeoutMs: 50 });
    const session = http2.connect(port.url);
    const path = '/grpc.health.v1.Health/Check';
    const stream = session.request({ ':method': 'POST', ':path': path, 'content-type': 'application/grpc-web' });
    const body = Buffer.concat(await stream.toArray()).toString('latin1');
    expect(body.charCodeAt(0)).toBe(0x80);
    expect(body).toContain('grpc-message: the request took too long to arrive\r\n');
    expect(body).toContain('grpc-status: 4\r\n');
    await port.log.line({ procedure: path.slice(1), refused: 'REQUEST_TIMEOUT' });
    session.destroy();
  });

  it('of a call that stays open may take as long as it likes', async () => {
    await using port = await openPublicPort({ bodyTimeoutMs: 20 });
    const session = http2.connect(port.url);
    const open = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Watch',
      'content-type': 'application/grpc',
    });
    open.on('error', () => {});
    const limited = session.request({
      ':method': 'POST',
      ':path': '/grpc.health.v1.Health/Check',
      'content-type': 'application/grpc',
    });
    limited.on('error', () => {});
    await new Promise(resolve => limited.on('close', resolve));
    open.end(Buffer.from([0, 0, 0, 0, 0]));
    const [message] = await once(open, 'data');
    expect(message.length).toBeGreaterThan(5);
    session.destroy();
  });
});

describe('Expect', () => {
  it('100-continue is granted where the body is not too large', async () => {
    await using port = await openPublicPort();
    const socket = connect(port.port);
    socket.setEncoding('latin1').write(post('Expect: 100-continue\r\nConnection: close\r\nContent-Length: 2\r\n'));
    expect((await once(socket, 'data'))[0]).toBe('HTTP/1.1 100 Continue\r\n\r\n');
    socket.write('{}');
    expect(statusOf((await once(socket, 'data'))[0])).toBe(200);
  });

  it('100-continue is answered with the refusal where it is', async () => {
    await using port = await openPublicPort();
    const socket = connect(port.port);
    socket.setEncoding('latin1').write(post(`Expect: 100-continue\r\nContent-Length: ${64 * MIB}\r\n`));
    expect(statusOf((await once(socket, 'data'))[0])).toBe(429);
    socket.destroy();
  });

  it('of anything else is 417', async () => {
    await using port = await openPublicPort();
    const { answer } = await sendEndless(
      port.port,
      post('Expect: more\r\nConnection: close\r\nContent-Length: 2\r\n'),
      [],
    );
    expect(statusOf(answer)).toBe(417);
    expect(await port.log.line({ refused: 'EXPECTATION_FAILED' })).toMatchObject({ status: 417 });
  });
});

function* repeat(bytes: Buffer, times: number): Generator<Buffer> {
  for (let i = 0; i < times; i++) yield bytes;
}

/** Sends a head and a body, however large, until the server has answered and ended or reset the connection. */
async function sendEndless(port: number, head: string, body: Iterable<Buffer>) {
  const socket = connect(port, '127.0.0.1');
  const started = performance.now();
  let answer = '';
  let answeredMs = Number.NaN;
  let done = false;
  const finished = new Promise<void>(resolve => {
    const finish = () => {
      done = true;
      resolve();
    };
    socket.on('end', finish).on('close', finish);
  });
  socket.on('error', () => {});
  socket.on('data', data => {
    if (answer === '') answeredMs = performance.now() - started;
    answer += data.toString('latin1');
  });
  socket.write(head);
  for (const bytes of body) {
    if (done) break;
    if (!socket.write(bytes)) await Promise.race([finished, once(socket, 'drain').catch(() => {})]);
    await new Promise(setImmediate);
  }
  await finished;
  socket.destroy();
  return { answer, answeredMs };
}

async function startPortProcess(): Promise<PortProcess> {
  const child = fork(new URL('port-process.ts', import.meta.url), { execArgv: [] });
  const [port] = await once(child, 'message');
  return {
    port,
    async peakRssKb() {
      child.send('peak');
      const [peak] = await once(child, 'message');
      return peak;
    },
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await once(child, 'exit');
    },
  };
}

interface PortProcess extends AsyncDisposable {
  readonly port: number;
  readonly peakRssKb: () => Promise<number>;
}
