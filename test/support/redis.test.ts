import { describe, expect, it } from 'vitest';
import { connectLineClient } from '#test/support/line-client.ts';
import { startRedis } from '#test/support/redis.ts';

describe('startRedis', () => {
  it('gives a Redis that answers', async () => {
    await using redis = await startRedis();
    using client = await connectLineClient(Number(new URL(redis.url).port));
    client.send('PING\r\n');
    expect(await client.receive(7)).toBe('+PONG\r\n');
  });

  it('tells the process id of the server itself', async () => {
    await using redis = await startRedis();
    using client = await connectLineClient(Number(new URL(redis.url).port));
    client.send('INFO server\r\n');
    expect(await client.receive(500)).toContain(`process_id:${redis.pid}\r\n`);
  });

  it('ends it on stop, also when it is frozen', async () => {
    const redis = await startRedis();
    process.kill(redis.pid, 'SIGSTOP');
    await redis.stop();
    expect(() => process.kill(redis.pid, 0)).toThrow('ESRCH');
  });

  it('starts again on the port of an earlier one', async () => {
    const first = await startRedis();
    await first.stop();
    await using second = await startRedis({ port: Number(new URL(first.url).port) });
    expect(second.url).toBe(first.url);
    expect(second.pid).not.toBe(first.pid);
  });
});
