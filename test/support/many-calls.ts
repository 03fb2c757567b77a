import { type Client, createClient } from '@connectrpc/connect';
import { createConnectTransport } from '@connectrpc/connect-node';
import { PostService } from '#gen/blog/v1/post_service_pb.js';

/** Clients for a thousand calls at once: 100 or so on each connection, since a busy machine is slow to open a thousand. */
export function clientsForManyCalls(url: string): (n: number) => Client<typeof PostService> {
  const clients = Array.from({ length: 10 }, () =>
    createClient(PostService, createConnectTransport({ baseUrl: url, httpVersion: '2' })),
  );
  return n => clients[n % clients.length] as Client<typeof PostService>;
}
