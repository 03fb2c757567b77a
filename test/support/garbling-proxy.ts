import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';

/** A TCP proxy in front of a Postgres that can bring its clients something else than the answers. */
export interface GarblingProxy extends AsyncDisposable {
  /** The server's URL with the proxy's address in place of the server's. */
  readonly url: string;
  /** While true, each piece of an answer becomes a message of a kind that Postgres does not have. */
  garble: boolean;
}

export async function startGarblingProxy(serverUrl: string): Promise<GarblingProxy> {
  const target = new URL(serverUrl);
  const sockets = new Set<Socket>();
  const server = createServer(client => {
    const upstream = connect(Number(target.port), target.hostname);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        sockets.delete(socket);
        other.destroy();
      });
    }
    client.pipe(upstream);
    upstream.on('data', bytes => client.write(proxy.garble ? NO_MESSAGE : bytes));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const url = new URL(serverUrl);
  url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  const proxy: GarblingProxy = {
    url: url.href,
    garble: false,
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
  return proxy;
}

/** Kind 0xff, without content. */
const NO_MESSAGE = Buffer.from([0xff, 0, 0, 0, 4]);
