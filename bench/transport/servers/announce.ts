import { once } from 'node:events';
import type { AddressInfo, Server } from 'node:net';

/** Opens a contestant's port: a free one of 127.0.0.1, and tells the benchmark. */
export async function listenAndAnnounce(server: Server): Promise<void> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  announce((server.address() as AddressInfo).port);
}

/**
 * Tells the benchmark where a contestant listens: a line of JSON on standard output, `{"port":1234}`. It is all that a
 * contestant has to do for the benchmark, in whatever language. The benchmark ends it with SIGTERM.
 */
export function announce(port: number): void {
  console.log(JSON.stringify({ port }));
}
