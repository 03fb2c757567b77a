import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { connectLineClient } from '#test/support/line-client.ts';
import { startTcpProxy, type TcpProxy } from '#test/support/tcp-proxy.ts';

describe('startTcpProxy', () => {
  let echo: ReturnType<typeof createServer>;
  let proxy: TcpProxy;
  let serverSide: Socket[];

  beforeEach(async () => {
    serverSide = [];
    echo = createServer({ allowHalfOpen: true }, socket => {
      serverSide.push(socket.on('error', () => {}));
      socket.pipe(socket);
    }).listen(0, '127.0.0.1');
    await once(echo, 'listening');
    proxy = await startTcpProxy({ host: '127.0.0.1', port: (echo.address() as AddressInfo).port });
  });

  afterEach(async () => {
    await proxy[Symbol.asyncDispose]();
    echo.close();
    await once(echo, 'close');
  });

  it('passes bytes in both directions, in order', async () => {
    using client = await connectLineClient(proxy.port);
    const text = Array.from({ length: 50_000 }, (_, i) => `${i},`).join('');
    client.send(text);
    expect(await client.receive(text.length)).toBe(text);
  });

  it('passes the end of one direction, and the answer that comes after it', async () => {
    using client = await connectLineClient(proxy.port);
    client.socket.end('last words');
    expect(await client.receive(10)).toBe('last words');
    if (!client.socket.closed) await once(client.socket, 'close');
  });

  it('puts its own address into a URL', () => {
    expect(proxy.through('postgres://me:secret@127.0.0.1:5432/posts')).toBe(
      `postgres://me:secret@127.0.0.1:${proxy.port}/posts`,
    );
  });

  it('delays each byte by the latency, in either direction', async () => {
    using client = await connectLineClient(proxy.port);
    proxy.set({ latencyMs: 50 });
    const startedAt = performance.now();
    client.send('a');
    await client.receive(1);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(100);
  });

  it('lets no more bytes through than the bandwidth', async () => {
    using client = await connectLineClient(proxy.port);
    proxy.set({ bytesPerSecond: 100_000 });
    const startedAt = performance.now();
    client.send('x'.repeat(20_000));
    await client.receive(20_000);
    // The last piece, of a hundredth of a second, is not waited for.
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(185);
  });

  it('passes nothing while it is a black hole, and everything once it is healed', async () => {
    using client = await connectLineClient(proxy.port);
    client.send('a');
    await client.receive(1);
    proxy.set({ blackHole: true });
    client.send('b');
    using late = await connectLineClient(proxy.port);
    late.send('c');
    // The same way through a proxy without faults, there and back: the bytes had every chance to arrive.
    await using healthy = await startTcpProxy({ host: '127.0.0.1', port: (echo.address() as AddressInfo).port });
    using other = await connectLineClient(healthy.port);
    for (let sent = 1; sent <= 20; sent++) {
      other.send('d');
      await other.receive(sent);
    }
    expect(serverSide.map(socket => socket.bytesRead)).toEqual([1, 0, 20]);
    proxy.heal();
    expect(await client.receive(2)).toBe('ab');
    expect(await late.receive(1)).toBe('c');
  });

  it('resets open connections on both sides, and lets new ones pass', async () => {
    using client = await connectLineClient(proxy.port);
    client.send('a');
    await client.receive(1);
    const clientError = once(client.socket, 'error');
    const serverClosed = new Promise(resolve => serverSide[0]?.once('close', resolve));
    expect(proxy.reset()).toBe(1);
    expect((await clientError)[0].code).toBe('ECONNRESET');
    await serverClosed;
    using next = await connectLineClient(proxy.port);
    next.send('b');
    expect(await next.receive(1)).toBe('b');
  });

  it('resets a client whose server is not there', async () => {
    await using dead = await startTcpProxy({ host: '127.0.0.1', port: await portOfNobody() });
    using client = await connectLineClient(dead.port);
    await expect(client.receive(1)).rejects.toThrow('has ended');
  });
});

async function portOfNobody(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
