import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { type Faults, FaultyLine, NO_FAULTS } from '#test/support/tcp-faults.ts';
import { relay } from '#test/support/tcp-relay.ts';

/** A TCP proxy in front of a real server, for tests that break the network between. It starts without any fault. */
export interface TcpProxy extends AsyncDisposable {
  readonly port: number;
  /** A server's URL with the proxy's address in place of the server's. */
  through(url: string): string;
  /** Changes the named faults, for open connections too, and for bytes that are on their way. */
  set(faults: Partial<Faults>): void;
  /** Ends all faults. What a black hole held back arrives now, as TCP would send it again. */
  heal(): void;
  /** Resets every open connection (RST), on both sides; returns their number. New ones pass. */
  reset(): number;
  /** How many connections are open now. */
  readonly connections: number;
}

/** Starts a proxy on a free port of 127.0.0.1. */
export async function startTcpProxy(target: { readonly host: string; readonly port: number }): Promise<TcpProxy> {
  const line = new FaultyLine();
  const pairs = new Set<readonly [Socket, Socket]>();
  const server = createServer({ allowHalfOpen: true }, client => {
    const upstream = connect({ ...target, allowHalfOpen: true });
    const pair = [client, upstream] as const;
    pairs.add(pair);
    for (const socket of pair) {
      socket.setNoDelay(true);
      // A side that fails takes the other with it, the same way: by a reset.
      socket.on('error', () => resetPair(pair));
      socket.on('close', () => {
        if (client.destroyed && upstream.destroyed) pairs.delete(pair);
      });
    }
    relay(client, upstream, line);
    relay(upstream, client, line);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const reset = () => {
    const open = [...pairs];
    for (const pair of open) resetPair(pair);
    return open.length;
  };
  return {
    port,
    through: url => {
      const proxied = new URL(url);
      proxied.host = `127.0.0.1:${port}`;
      return proxied.href;
    },
    set: faults => line.set(faults),
    heal: () => line.set(NO_FAULTS),
    reset,
    get connections() {
      return pairs.size;
    },
    [Symbol.asyncDispose]: async () => {
      reset();
      server.close();
      await once(server, 'close');
    },
  };
}

function resetPair(pair: readonly [Socket, Socket]): void {
  for (const socket of pair) if (!socket.destroyed) socket.resetAndDestroy();
}
