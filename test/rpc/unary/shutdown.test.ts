import { Code, createClient, type HandlerContext } from '@connectrpc/connect';
import { describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { unavailable } from '#src/rpc/error-mapping.ts';
import { openPublicPort } from '#test/support/public-port.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { TRANSPORTS } from '#test/support/transports.ts';

describe.each([
  ['Connect in protobuf over HTTP/1.1', true],
  ['Connect over HTTP/1.1, reads as GET', true],
  ['Connect over HTTP/2', true],
  ['gRPC over HTTP/2', true],
  ['gRPC over HTTP/2', false],
] as const)('a call that still runs when the server ends: %s, fast path %s', (name, fastPath) => {
  it('is UNAVAILABLE, and its handler is told the same', async () => {
    const shutdown = new AbortController();
    const { promise: started, resolve: start } = Promise.withResolvers<HandlerContext>();
    const posts = {
      getPost: (_: unknown, context: HandlerContext) => {
        start(context);
        return new Promise<never>(() => {});
      },
    };
    await using port = await openPublicPort({ fastPath, posts, shutdownSignal: shutdown.signal });
    const client = createClient(PostService, TRANSPORTS[name](port.url, {}));
    const failure = failureOf(client.getPost({}, { headers: { 'x-request-id': 'running' } }));
    const { signal } = await started;
    shutdown.abort(unavailable('the server ends', 'SHUTTING_DOWN'));
    expect(await failure).toMatchObject({ code: 'unavailable', reason: 'SHUTTING_DOWN', retryDelayMs: 1000 });
    expect(signal.reason).toMatchObject({ code: Code.Unavailable });
    const line = await port.log.line({ id: 'running' });
    expect(line).toMatchObject({ code: 'unavailable', aborted: false });
    expect(line.adapted).toBe(fastPath ? undefined : true);
  });
});
