import { once } from 'node:events';
import { createServer as createHttp1Server, type IncomingMessage } from 'node:http';
import { createServer as createHttp2Server, type Http2ServerRequest } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { Code, ConnectError, type ServiceImpl } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import { PostService } from '#gen/blog/v1/post_service_pb.js';

/** A running server: what came in, and where it is. */
export interface ExamplePostServer extends AsyncDisposable {
  readonly url: string;
  /** The requests in the order of their arrival. */
  readonly requests: readonly (IncomingMessage | Http2ServerRequest)[];
}

/** Starts a bare Connect server for the client to call, on a free port of its own. Has `implementation`, or one post. */
export async function startExamplePostServer(
  implementation: Partial<ServiceImpl<typeof PostService>> = onePost,
  { http2 = false } = {},
): Promise<ExamplePostServer> {
  const requests: (IncomingMessage | Http2ServerRequest)[] = [];
  const handle = connectNodeAdapter({ routes: router => router.service(PostService, implementation) });
  const listener = (...[request, response]: Parameters<typeof handle>) => {
    requests.push(request);
    handle(request, response);
  };
  const sessions = new Set<{ destroy(): void }>();
  const server = http2 ? createHttp2Server(listener) : createHttp1Server(listener);
  server.on(http2 ? 'session' : 'connection', (session: { destroy(): void }) => sessions.add(session));
  // On a busy machine it could end an idle connection just when a client uses it again.
  if ('keepAliveTimeout' in server) server.keepAliveTimeout = 0;
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    async [Symbol.asyncDispose]() {
      const closed = once(server, 'close');
      server.close();
      for (const session of sessions) session.destroy();
      await closed;
    },
  };
}

const onePost: Partial<ServiceImpl<typeof PostService>> = {
  getPost({ key }) {
    if (key.value !== 'hello-world') throw new ConnectError(`no post ${key.value}`, Code.NotFound);
    return { post: { slug: 'hello-world', title: 'Hello, World!' } };
  },
};
