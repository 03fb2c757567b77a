import { Code } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { createGrpcWebPostClient, createPostClient } from '#client/web.ts';
import { startExamplePostServer } from '#test/client/example-post-server.ts';

const hello = { key: { case: 'slug', value: 'hello-world' } } as const;

describe('createPostClient for browsers', () => {
  it('sends reads as GET', async () => {
    await using server = await startExamplePostServer();
    const { post } = await createPostClient(server.url).getPost(hello);
    expect(post?.title).toBe('Hello, World!');
    expect(server.requests[0]?.method).toBe('GET');
  });

  it('adds no header to a read that would cost a CORS preflight', async () => {
    const headers: string[] = [];
    const record: typeof fetch = (input, init) => {
      headers.push(...new Headers(init?.headers).keys());
      return fetch(input, init);
    };
    await using server = await startExamplePostServer();
    await createPostClient(server.url, { fetch: record }).getPost(hello);
    // Those that a page may send to any origin: https://fetch.spec.whatwg.org/#cors-safelisted-request-header
    const safe = ['accept', 'accept-language', 'content-language', 'range'];
    expect(headers.filter(name => !safe.includes(name))).toEqual([]);
  });

  it('sends writes as JSON by POST', async () => {
    await using server = await startExamplePostServer({ createPost: ({ post }) => (post ? { post } : {}) });
    const { post } = await createPostClient(server.url).createPost({ post: { title: 'New' } });
    expect(post?.title).toBe('New');
    expect(server.requests[0]).toMatchObject({ method: 'POST', headers: { 'content-type': 'application/json' } });
  });

  it('sends binary Protobuf with useBinaryFormat', async () => {
    await using server = await startExamplePostServer();
    await createPostClient(server.url, { useBinaryFormat: true, useHttpGet: false }).getPost(hello);
    expect(server.requests[0]?.headers['content-type']).toBe('application/proto');
  });

  it('gives up with DEADLINE_EXCEEDED when the service is silent', async () => {
    await using server = await startExamplePostServer({ getPost: () => new Promise(() => {}) });
    const call = createPostClient(server.url, { timeoutMs: 20 }).getPost(hello);
    await expect(call).rejects.toMatchObject({ code: Code.DeadlineExceeded });
  });

  it('closes the request that it gave up, so that the service stops its work', async () => {
    const signals: AbortSignal[] = [];
    const record: typeof fetch = (input, init) => {
      if (init?.signal) signals.push(init.signal);
      return fetch(input, init);
    };
    await using server = await startExamplePostServer({ getPost: () => new Promise(() => {}) });
    const call = createPostClient(server.url, { timeoutMs: 20, fetch: record }).getPost(hello);
    await expect(call).rejects.toThrow();
    expect(signals.map(signal => signal.aborted)).toEqual([true]);
  });

  it("ends a call when the caller's signal does, with CANCELED", async () => {
    const arrived = Promise.withResolvers<void>();
    await using server = await startExamplePostServer({
      getPost: () => {
        arrived.resolve();
        return new Promise(() => {});
      },
    });
    const caller = new AbortController();
    const call = createPostClient(server.url).getPost(hello, { signal: caller.signal });
    await arrived.promise;
    caller.abort();
    await expect(call).rejects.toMatchObject({ code: Code.Canceled });
  });

  it("sends the call's own timeout to the service", async () => {
    await using server = await startExamplePostServer();
    await createPostClient(server.url).getPost(hello, { timeoutMs: 4321 });
    expect(server.requests[0]?.headers['connect-timeout-ms']).toBe('4321');
  });
});

describe('createGrpcWebPostClient', () => {
  it('speaks gRPC-Web', async () => {
    await using server = await startExamplePostServer();
    const { post } = await createGrpcWebPostClient(server.url).getPost(hello);
    expect(post?.title).toBe('Hello, World!');
    expect(server.requests[0]?.headers['content-type']).toBe('application/grpc-web+proto');
  });

  it('throws the error of a failed call', async () => {
    await using server = await startExamplePostServer();
    const call = createGrpcWebPostClient(server.url).getPost({ key: { case: 'slug', value: 'absent' } });
    await expect(call).rejects.toMatchObject({ code: Code.NotFound });
  });
});
