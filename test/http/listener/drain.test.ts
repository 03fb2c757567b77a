import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { Code, ConnectError, createClient, type Transport } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { openPublicPort } from '#test/support/public-port.ts';
import { healthCheck, readToEnd, statusOf } from '#test/support/raw-http.ts';

const TRANSPORTS: readonly [string, (baseUrl: string) => Transport][] = [
  ['Connect over HTTP/1.1', baseUrl => createConnectTransport({ baseUrl, httpVersion: '1.1' })],
  ['Connect over HTTP/2', baseUrl => createConnectTransport({ baseUrl, httpVersion: '2' })],
  ['gRPC', baseUrl => createGrpcTransport({ baseUrl })],
  ['gRPC-Web over HTTP/1.1', baseUrl => createGrpcWebTransport({ baseUrl, httpVersion: '1.1' })],
];

/** A GetPost that says when it has begun, and answers when it is told to. */
function heldCall() {
  const begun = Promise.withResolvers<void>();
  const release = Promise.withResolvers<void>();
  const getPost = async () => {
    begun.resolve();
    await release.promise;
    return { post: { title: 'held' } };
  };
  return { posts: { getPost }, begun: begun.promise, release: release.resolve };
}

describe('closing the public port', () => {
  it.each(TRANSPORTS)('lets a call over %s end', async (_name, makeTransport) => {
    const { posts, begun, release } = heldCall();
    await using port = await openPublicPort({ posts });
    const call = createClient(PostService, makeTransport(port.url)).getPost({});
    await begun;
    const closed = port.listener.close(60_000);
    await expectRefused(port.port);
    release();
    expect((await call).post?.title).toBe('held');
    expect(await closed).toBe(0);
  });

  it('tells an HTTP/1.1 client, whose call runs, to use the connection no more', async () => {
    const { posts, begun, release } = heldCall();
    await using port = await openPublicPort({ posts });
    const socket = connect(port.port);
    const path = '/blog.v1.PostService/GetPost';
    socket.write(
      healthCheck('Host: a\r\n')
        .replace(/\S+\/Check/, path)
        .replace('Connection: close\r\n', ''),
    );
    await begun;
    const closed = port.listener.close(60_000);
    release();
    expect(await readToEnd(socket)).toMatch(/^HTTP\/1\.1 200 OK\r\n(?:.+\r\n)*Connection: close\r\n/);
    await closed;
  });

  it('answers what comes on an idle HTTP/1.1 connection before the client can know', async () => {
    await using port = await openPublicPort();
    const socket = connect(port.port).setEncoding('latin1');
    const request = healthCheck('Host: a\r\n').replace('Connection: close\r\n', '');
    socket.write(request);
    const [first] = await once(socket, 'data');
    expect(first).toContain('Connection: keep-alive');
    const closed = port.listener.close(60_000);
    socket.write(request);
    const [second] = await once(socket, 'data');
    expect(statusOf(second)).toBe(200);
    expect(second).toContain('Connection: close');
    expect(await closed).toBe(0);
  });

  it('tells an HTTP/2 client first that all its calls are still taken, then which were', async () => {
    const { posts, begun, release } = heldCall();
    await using port = await openPublicPort({ posts });
    const session = http2.connect(port.url);
    const lastStreamIds: number[] = [];
    session.on('goaway', (_code, lastStreamId) => lastStreamIds.push(lastStreamId));
    const stream = session.request({
      ':method': 'POST',
      ':path': '/blog.v1.PostService/GetPost',
      'content-type': 'application/json',
    });
    stream.end('{}');
    await begun;
    const closed = port.listener.close(60_000);
    release();
    const [response] = await once(stream, 'response');
    expect(response[':status']).toBe(200);
    stream.resume();
    expect(await closed).toBe(0);
    expect(lastStreamIds[0]).toBe(2 ** 31 - 1);
  });

  it('closes idle connections of either protocol, and those that never said anything', async () => {
    await using port = await openPublicPort();
    const silent = connect(port.port);
    const idle = connect(port.port);
    idle.write(healthCheck('Host: a\r\n').replace('Connection: close\r\n', ''));
    await once(idle, 'data');
    const session = http2.connect(port.url);
    await once(session, 'remoteSettings');
    const ends = [readToEnd(silent), readToEnd(idle), once(session, 'close')];
    expect(await port.listener.close(60_000)).toBe(0);
    await Promise.all(ends);
  });

  it.each(TRANSPORTS.slice(0, 3))(
    'cuts off a call over %s that outlasts the grace, and says so',
    async (_name, makeTransport) => {
      const { posts, begun } = heldCall();
      await using port = await openPublicPort({ posts });
      const call = createClient(PostService, makeTransport(port.url)).getPost({}).catch(ConnectError.from);
      await begun;
      expect(await port.listener.close(50)).toBe(1);
      expect(await call).toBeInstanceOf(ConnectError);
      expect(await port.log.line({ msg: 'request' })).toMatchObject({ aborted: true });
    },
  );

  it('is done once, however often it is asked for', async () => {
    await using port = await openPublicPort();
    expect(await Promise.all([port.listener.close(1000), port.listener.close(0)])).toEqual([0, 0]);
  });

  it('fails no call of clients that call all the time', async () => {
    await using port = await openPublicPort({ posts: { getPost: () => ({}) } });
    const outcomes = { ok: 0, notConnected: 0, failed: [] as unknown[] };
    const warm = Promise.withResolvers<void>();
    const callUntilRefused = async (call: () => Promise<unknown>) => {
      for (;;) {
        try {
          await call();
          if (++outcomes.ok === 500) warm.resolve();
        } catch (error) {
          if (isNotConnected(error)) outcomes.notConnected++;
          else outcomes.failed.push(error);
          return;
        }
      }
    };
    const agent = new http.Agent({ keepAlive: true });
    const clients = TRANSPORTS.map(([, makeTransport]) => createClient(PostService, makeTransport(port.url)));
    const running = [
      ...Array.from({ length: 8 }, () => callUntilRefused(() => getOverHttp1(port.port, agent))),
      ...clients.flatMap(client => [1, 2].map(() => callUntilRefused(() => client.getPost({})))),
    ];
    await warm.promise;
    expect(await port.listener.close(60_000)).toBe(0);
    await Promise.all(running);
    agent.destroy();
    expect(outcomes.failed).toEqual([]);
    expect(outcomes.notConnected).toBe(running.length);
  });
});

async function expectRefused(port: number): Promise<void> {
  const [error] = await once(connect(port, '127.0.0.1'), 'error');
  expect(error).toMatchObject({ code: 'ECONNREFUSED' });
}

async function getOverHttp1(port: number, agent: http.Agent): Promise<void> {
  const path = '/blog.v1.PostService/GetPost?encoding=json&message=%7B%7D';
  const [response] = await once(http.get({ port, host: '127.0.0.1', path, agent }), 'response');
  for await (const _ of response);
  if (response.statusCode !== 200) throw new Error(`status ${response.statusCode}`);
}

/** Whether a call never left, for want of a connection. */
function isNotConnected(error: unknown): boolean {
  if (error instanceof ConnectError) return error.code === Code.Unavailable && isNotConnected(error.cause);
  return (error as { code?: string }).code === 'ECONNREFUSED';
}
