import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { TimeoutError, withTimeout } from '#src/async/with-timeout.ts';

describe('A time limit', () => {
  it('ends the wait for a work that goes on', async () => {
    await expect(withTimeout(1, new Promise(() => {}))).rejects.toBeInstanceOf(TimeoutError);
  });

  it('gives the result, or the error, of a work that ends before', async () => {
    expect(await withTimeout(60_000, Promise.resolve(1))).toBe(1);
    await expect(withTimeout(60_000, Promise.reject(new Error('failed')))).rejects.toThrow('failed');
  });

  it('takes what had come while this process was busy', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
    const [other] = (await once(server, 'connection')) as [Socket];
    for (let n = 0; n < 20; n++) {
      const data = once(socket, 'data');
      const limited = withTimeout(5, data);
      // In the kernel at once, and read when this process comes to it.
      other.write('x');
      for (const endsAt = performance.now() + 10; performance.now() < endsAt; );
      await limited;
    }
    socket.destroy();
    server.close();
  });
});
