import { once } from 'node:events';
import http2 from 'node:http2';
import { connect } from 'node:net';
import { fromBinary } from '@bufbuild/protobuf';
import { Code, ConnectError, createClient } from '@connectrpc/connect';
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from '@connectrpc/connect-node';
import { describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { ErrorInfoSchema } from '#gen/google/rpc/error_details_pb.js';
import { CANCEL, connectRawHttp2, FLAG, FRAME, frame, HEALTH_CHECK } from '#test/support/http2-frames.ts';
import { openPublicPort } from '#test/support/public-port.ts';
import { healthCheck, sendRaw } from '#test/support/raw-http.ts';

const check = (url: string, headers: Record<string, string>) =>
  fetch(`${url}/grpc.health.v1.Health/Check`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: '{}',
  });
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

describe('x-request-id', () => {
  it.each(['a', 'A-Z.0:9_', 'x'.repeat(128)])('is kept if it is %s', async id => {
    await using port = await openPublicPort();
    expect((await check(port.url, { 'x-request-id': id })).headers.get('x-request-id')).toBe(id);
    await port.log.line({ id });
  });

  it.each(['', ' ', 'x'.repeat(129), 'a b', 'a"b', 'a,b', '{}', 'ä'])('is replaced if it is %j', async id => {
    await using port = await openPublicPort();
    const given = (await check(port.url, { 'x-request-id': id })).headers.get('x-request-id');
    expect(given).toMatch(UUID);
    await port.log.line({ id: given });
  });

  it('is replaced if the client sends it twice', async () => {
    await using port = await openPublicPort();
    const response = await sendRaw(port.port, healthCheck('Host: a\r\nX-Request-Id: a\r\nX-Request-Id: b\r\n'));
    expect(/x-request-id: (\S+)\r\n/.exec(response)?.[1]).toMatch(UUID);
  });

  it('is returned over gRPC', async () => {
    await using port = await openPublicPort();
    const posts = createClient(PostService, createGrpcTransport({ baseUrl: port.url }));
    const error = await posts.getPost({}, { headers: { 'x-request-id': 'mine' } }).catch(ConnectError.from);
    expect((error as ConnectError).metadata.get('x-request-id')).toBe('mine');
  });
});

describe('an unknown path', () => {
  it('is answered with 404 and a hint, as a Connect error', async () => {
    await using port = await openPublicPort();
    const response = await fetch(`${port.url}/`);
    expect(response.status).toBe(404);
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.headers.get('x-content-type-options')).toBe('nosniff');
    const error = (await response.json()) as { code: string; message: string; details: [{ value: string }] };
    const { code, message, details } = error;
    expect(code).toBe('unimplemented');
    expect(message).toContain('POST /blog.v1.PostService/GetPost');
    expect(fromBinary(ErrorInfoSchema, Buffer.from(details[0].value, 'base64'))).toMatchObject({
      reason: 'UNKNOWN_PATH',
      domain: 'blog.v1.PostService',
    });
    expect(await port.metric('http_non_rpc_requests_total{reason="UNKNOWN_PATH",status="404"}')).toBe(1);
  });

  it.each([
    ['Connect', createConnectTransport],
    ['gRPC-Web', createGrpcWebTransport],
    ['gRPC', (options: { baseUrl: string }) => createGrpcTransport(options)],
  ])('is UNIMPLEMENTED to a %s client', async (_name, createTransport) => {
    await using port = await openPublicPort();
    const transport = createTransport({ baseUrl: `${port.url}/elsewhere`, httpVersion: '2' });
    const error = await createClient(PostService, transport).getPost({}).catch(ConnectError.from);
    expect((error as ConnectError).code).toBe(Code.Unimplemented);
  });

  it('is answered without a body for HEAD', async () => {
    await using port = await openPublicPort();
    const response = await fetch(`${port.url}/`, { method: 'HEAD' });
    expect(response.status).toBe(404);
    expect(await response.text()).toBe('');
  });
});

describe('the access log', () => {
  it('has one line for an RPC, and the metrics one observation', async () => {
    const posts = { getPost: () => ({ post: { title: 'T' } }) };
    await using port = await openPublicPort({ posts });
    const client = createClient(
      PostService,
      createConnectTransport({ baseUrl: port.url, httpVersion: '1.1', useHttpGet: true }),
    );
    await client.getPost({ key: { case: 'slug', value: 's' } }, { headers: { 'user-agent': 'test' } });
    expect(await port.log.line({ msg: 'request' })).toEqual({
      level: 30,
      time: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
      id: expect.stringMatching(UUID),
      method: 'GET',
      path: '/blog.v1.PostService/GetPost',
      httpVersion: '1.1',
      protocol: 'connect',
      procedure: 'blog.v1.PostService/GetPost',
      code: 'ok',
      status: 200,
      durationMs: expect.any(Number),
      bytesIn: expect.any(Number),
      bytesOut: expect.any(Number),
      remoteAddress: '127.0.0.1',
      userAgent: 'test',
      aborted: false,
      msg: 'request',
    });
    expect(port.log.lines).toHaveLength(1);
    const series = 'procedure="blog.v1.PostService/GetPost",protocol="connect",code="ok"';
    expect(await port.metric(`rpc_server_duration_seconds_count{${series}}`)).toBe(1);
  });

  it('has the body sizes of each call of a connection', async () => {
    await using port = await openPublicPort();
    const socket = connect(port.port);
    const request = healthCheck('Host: a\r\n').replace('Connection: close\r\n', '');
    for (const id of ['first', 'second']) {
      const bytes = request.replace('\r\n', `\r\nX-Request-Id: ${id}\r\n`);
      socket.write(bytes);
      const [answer] = await once(socket, 'data');
      const bodies = [bytes, String(answer)].map(text => text.length - text.indexOf('\r\n\r\n') - 4);
      expect(await port.log.line({ id })).toMatchObject({ bytesIn: bodies[0], bytesOut: bodies[1] });
    }
    socket.destroy();
  });

  it('has a call that its client aborted', async () => {
    const started = Promise.withResolvers<void>();
    const posts = {
      getPost: () => {
        started.resolve();
        return new Promise<never>(() => {});
      },
    };
    for (const httpVersion of ['1.1', '2'] as const) {
      await using port = await openPublicPort({ posts });
      const client = createClient(PostService, createConnectTransport({ baseUrl: port.url, httpVersion }));
      const abort = new AbortController();
      const call = client.getPost({}, { signal: abort.signal }).catch(() => {});
      await started.promise;
      abort.abort();
      await call;
      expect(await port.log.line({ msg: 'request' })).toMatchObject({ aborted: true, code: 'canceled' });
    }
  });

  it('has a call whose stream was reset during its request as canceled, without a status', async () => {
    await using port = await openPublicPort();
    using client = await connectRawHttp2(port.port);
    await client.send(frame(FRAME.headers, FLAG.endHeaders, 1, HEALTH_CHECK), frame(FRAME.rstStream, 0, 1, CANCEL));
    const line = await port.log.line({ msg: 'request' });
    expect(line).toMatchObject({ aborted: true, code: 'canceled', procedure: 'grpc.health.v1.Health/Check' });
    expect(line).not.toHaveProperty('status');
  });

  it('has an internal error once, at level error with its cause, which the client does not see', async () => {
    const posts = {
      getPost: () => {
        throw new Error('password is hunter2');
      },
    };
    await using port = await openPublicPort({ posts });
    const response = await fetch(`${port.url}/blog.v1.PostService/GetPost`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    expect(await response.text()).not.toContain('hunter2');
    expect(await port.log.line({ msg: 'request' })).toMatchObject({
      level: 50,
      code: 'internal',
      err: { message: 'password is hunter2', stack: expect.any(String) },
    });
    expect(port.log.lines).toHaveLength(1);
  });

  it('escapes and cuts what a client sends', async () => {
    await using port = await openPublicPort();
    const hostile = `\\r\\n{"level":60}\u2028"${'x'.repeat(4000)}`;
    await sendRaw(
      port.port,
      `GET /%0d%0a"${'y'.repeat(4000)}?secret=1 HTTP/1.1\r\nHost: a\r\nUser-Agent: ${hostile}\r\nConnection: close\r\n\r\n`,
    );
    const line = await port.log.line({ refused: 'UNKNOWN_PATH' });
    expect(line.path).toHaveLength(256);
    expect(line.userAgent).toHaveLength(256);
    expect(JSON.stringify(line)).not.toContain('secret');
    expect(port.log.lines).toHaveLength(1);
  });

  it('has each request of a pipeline, and of an HTTP/2 connection', async () => {
    await using port = await openPublicPort();
    const get = (path: string, last = false) =>
      `GET ${path} HTTP/1.1\r\nHost: a\r\n${last ? 'Connection: close\r\n' : ''}\r\n`;
    await sendRaw(port.port, get('/1') + get('/2') + get('/3', true));
    const session = http2.connect(port.url);
    const stream = session.request({ ':path': '/4' }).resume();
    await once(stream, 'close');
    session.destroy();
    for (const path of ['/1', '/2', '/3', '/4']) await port.log.line({ path, status: 404 });
    expect(port.log.lines).toHaveLength(4);
  });

  it('has a request whose method the procedure does not allow', async () => {
    await using port = await openPublicPort();
    const response = await fetch(`${port.url}/grpc.health.v1.Health/Check`);
    expect(response.status).toBe(405);
    await port.log.line({ refused: 'METHOD_NOT_ALLOWED', status: 405 });
    expect(await port.metric('http_non_rpc_requests_total{reason="METHOD_NOT_ALLOWED",status="405"}')).toBe(1);
  });
});
