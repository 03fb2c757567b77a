import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import tls from 'node:tls';
import { describe, expect, it } from 'vitest';
import { openPublicPort } from '#test/support/public-port.ts';
import { readToEnd } from '#test/support/raw-http.ts';
import { selfSigned } from '#test/support/self-signed.ts';

const BODY = '{"slug":"x"}';
const GET_POST = `POST /blog.v1.PostService/GetPost HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${BODY.length}\r\n\r\n${BODY}`;

/** Its types lack what it takes for its socket. */
const OVER_TLS = { servername: 'localhost', allowHalfOpen: true } as tls.ConnectionOptions;

describe.each([
  ['in clear text', undefined],
  ['over TLS', selfSigned()],
])('A client %s that ends its side after its request', (_, certificate) => {
  const open = async (getPost: () => object | Promise<object>, fastPath = true) => {
    const port = await openPublicPort({ fastPath, tls: certificate, posts: { getPost } });
    const socket: Socket =
      certificate === undefined
        ? connect({ port: port.port, allowHalfOpen: true })
        : tls.connect({ ...OVER_TLS, port: port.port, ca: certificate.cert });
    return { port, socket };
  };

  it.each([true, false])('gets the answer of a call that takes a while; fast path: %s', async fastPath => {
    const { promise, resolve } = Promise.withResolvers<object>();
    const started = Promise.withResolvers<void>();
    const { port, socket } = await open(() => {
      started.resolve();
      return promise;
    }, fastPath);
    await using _port = port;
    socket.end(GET_POST);
    const answer = readToEnd(socket);
    await started.promise;
    resolve({});
    expect(await answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  });

  it('gets each answer of a pipeline', async () => {
    const { port, socket } = await open(() => ({}));
    await using _port = port;
    socket.end(GET_POST + GET_POST + GET_POST);
    expect((await readToEnd(socket)).match(/HTTP\/1\.1 200 OK/g)).toHaveLength(3);
  });

  it('gets the answer behind 100 Continue where the call takes long', async () => {
    const { promise, resolve } = Promise.withResolvers<object>();
    const { port, socket } = await open(() => promise);
    await using _port = port;
    socket.end(GET_POST);
    const [continued] = await once(socket, 'data');
    expect(String(continued)).toMatch(/^HTTP\/1\.1 100 Continue\r\n\r\n/);
    const answer = readToEnd(socket);
    resolve({});
    expect(await answer).toMatch(/^(HTTP\/1\.1 100 Continue\r\n\r\n)?HTTP\/1\.1 200 OK\r\n/);
  });

  it('and is gone has its call cancelled', async () => {
    const aborted = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    const port = await openPublicPort({
      tls: certificate,
      posts: {
        getPost: (_request, { signal }) => {
          signal.addEventListener('abort', () => aborted.resolve());
          started.resolve();
          return new Promise<never>(() => {});
        },
      },
    });
    await using _port = port;
    const socket: Socket =
      certificate === undefined
        ? connect(port.port)
        : tls.connect({ port: port.port, ca: certificate.cert, servername: 'localhost' });
    socket.write(GET_POST);
    await started.promise;
    socket.destroy();
    await aborted.promise;
    expect(await port.log.line({ msg: 'request' })).toMatchObject({ aborted: true, code: 'canceled' });
  });
});

describe('A connection that ends its side', () => {
  it('in the middle of a request is told so and closed', async () => {
    await using port = await openPublicPort();
    const socket = connect({ port: port.port, allowHalfOpen: true });
    socket.end(GET_POST.slice(0, -3));
    expect(await readToEnd(socket)).toMatch(/^HTTP\/1\.1 400 /);
  });

  it('without a request is closed', async () => {
    await using port = await openPublicPort();
    const socket = connect({ port: port.port, allowHalfOpen: true });
    socket.end();
    expect(await readToEnd(socket)).toBe('');
  });
});
