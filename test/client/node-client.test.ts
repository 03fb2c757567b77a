import { Code, ConnectError, type Interceptor } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { createPostClient } from '#client/node.ts';
import { startExamplePostServer } from '#test/client/example-post-server.ts';

const hello = { key: { case: 'slug', value: 'hello-world' } } as const;

describe('createPostClient for Node', () => {
  it('sends reads as GET over Connect on HTTP/1.1 when nothing is chosen', async () => {
    await using server = await startExamplePostServer();
    const { post } = await createPostClient(server.url).getPost(hello);
    expect(post?.title).toBe('Hello, World!');
    expect(server.requests[0]).toMatchObject({ method: 'GET', httpVersion: '1.1' });
  });

  it('sends reads as POST with useHttpGet off', async () => {
    await using server = await startExamplePostServer();
    await createPostClient(server.url, { useHttpGet: false }).getPost(hello);
    expect(server.requests[0]).toMatchObject({ method: 'POST', headers: { 'content-type': 'application/proto' } });
  });

  it('sends JSON with useBinaryFormat off', async () => {
    await using server = await startExamplePostServer();
    await createPostClient(server.url, { useHttpGet: false, useBinaryFormat: false }).getPost(hello);
    expect(server.requests[0]?.headers['content-type']).toBe('application/json');
  });

  it('speaks Connect over HTTP/2', async () => {
    await using server = await startExamplePostServer(undefined, { http2: true });
    const { post } = await createPostClient(server.url, { httpVersion: '2' }).getPost(hello);
    expect(post?.title).toBe('Hello, World!');
    expect(server.requests[0]?.httpVersion).toBe('2.0');
  });

  it('speaks gRPC, over HTTP/2', async () => {
    await using server = await startExamplePostServer(undefined, { http2: true });
    const { post } = await createPostClient(server.url, { protocol: 'grpc' }).getPost(hello);
    expect(post?.title).toBe('Hello, World!');
    expect(server.requests[0]?.headers['content-type']).toBe('application/grpc+proto');
  });

  it.each(['1.1', '2'] as const)('speaks gRPC-Web over HTTP/%s', async httpVersion => {
    await using server = await startExamplePostServer(undefined, { http2: httpVersion === '2' });
    const { post } = await createPostClient(server.url, { protocol: 'grpc-web', httpVersion }).getPost(hello);
    expect(post?.title).toBe('Hello, World!');
    expect(server.requests[0]?.headers['content-type']).toBe('application/grpc-web+proto');
  });

  it('sends a deadline of 10 s with a call that sets none', async () => {
    await using server = await startExamplePostServer();
    await createPostClient(server.url).getPost(hello);
    expect(server.requests[0]?.headers['connect-timeout-ms']).toBe('10000');
  });

  it("sends the call's own deadline instead", async () => {
    await using server = await startExamplePostServer();
    await createPostClient(server.url).getPost(hello, { timeoutMs: 4321 });
    expect(server.requests[0]?.headers['connect-timeout-ms']).toBe('4321');
  });

  it('sends none with timeoutMs 0', async () => {
    await using server = await startExamplePostServer();
    await createPostClient(server.url, { timeoutMs: 0 }).getPost(hello);
    expect(server.requests[0]?.headers).not.toHaveProperty('connect-timeout-ms');
  });

  it('fails a call with DEADLINE_EXCEEDED when the service is silent', async () => {
    await using server = await startExamplePostServer({ getPost: () => new Promise(() => {}) });
    const call = createPostClient(server.url, { timeoutMs: 20 }).getPost(hello);
    await expect(call).rejects.toMatchObject({ code: Code.DeadlineExceeded });
  });

  it('refuses an answer that is larger than readMaxBytes', async () => {
    await using server = await startExamplePostServer({ getPost: () => ({ post: { content: 'x'.repeat(5000) } }) });
    const call = createPostClient(server.url, { readMaxBytes: 4096 }).getPost(hello);
    await expect(call).rejects.toMatchObject({ code: Code.ResourceExhausted });
  });

  it('runs interceptors around each call, the first outermost', async () => {
    await using server = await startExamplePostServer();
    const order: string[] = [];
    const named = (name: string): Interceptor => {
      return next => request => {
        order.push(name);
        return next(request);
      };
    };
    await createPostClient(server.url, { interceptors: [named('outer'), named('inner')] }).getPost(hello);
    expect(order).toEqual(['outer', 'inner']);
  });

  it('throws a ConnectError with the code of a failed call', async () => {
    await using server = await startExamplePostServer();
    const call = createPostClient(server.url).getPost({ key: { case: 'slug', value: 'absent' } });
    await expect(call).rejects.toSatisfy(error => error instanceof ConnectError && error.code === Code.NotFound);
  });

  it.each(['posts.example.com', 'ftp://posts.example.com', ''])('refuses %j as a base URL', baseUrl => {
    expect(() => createPostClient(baseUrl)).toThrow(TypeError);
  });

  it('refuses gRPC over HTTP/1.1', () => {
    expect(() => createPostClient('http://127.0.0.1', { protocol: 'grpc', httpVersion: '1.1' })).toThrow(TypeError);
  });
});
