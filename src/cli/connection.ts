import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { type Client, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { PostService } from '#gen/blog/v1/post_service_pb.js';

/** A client of a running service, and its connections, which are closed when it is disposed of. */
export interface Connection extends Disposable {
  readonly client: Client<typeof PostService>;
}

/**
 * Prepares to call the service at `url`; nothing is sent yet.
 *
 * Connect over HTTP/1.1 with keep-alive: a connection that breaks then fails one call and not all of them, and connect-node's
 * HTTP/2 client can end the process when a server says goodbye (connect-es#1768).
 *
 * @param maxConnections as many as calls are made at once.
 */
export function connectTo(url: string, maxConnections: number): Connection {
  const options = { keepAlive: true, maxSockets: maxConnections };
  const agent = url.startsWith('https:') ? new HttpsAgent(options) : new HttpAgent(options);
  const transport = createConnectTransport({
    baseUrl: url,
    httpVersion: '1.1',
    nodeOptions: { agent },
    // Compressing is most of the work of a read, and saves nothing on the way within a machine or a data centre.
    acceptCompression: [],
    defaultTimeoutMs: CALL_TIMEOUT_MS,
    readMaxBytes: RESPONSE_MAX_BYTES,
  });
  return { client: createClient(PostService, transport), [Symbol.dispose]: () => agent.destroy() };
}

/** A page of 3 MiB over a slow line still arrives in this; a service that hangs is noticed. */
const CALL_TIMEOUT_MS = 15_000;
/** A page has 3 MiB of content and what goes with it. */
const RESPONSE_MAX_BYTES = 16 * 1024 * 1024;
