import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@keyv/redis';
import { describe, expect, it } from 'vitest';
import { RedisCache } from '#src/cache/redis-cache.ts';
import { slotOfKey } from '#src/cache/redis-topology.ts';
import { createLogger } from '#src/observability/logger.ts';
import { LogLines } from '#test/support/log-lines.ts';
import { startClusterRedis } from '#test/support/redis-cluster.ts';
import { startSentinelRedis } from '#test/support/redis-sentinel.ts';

describe('A shared cache whose master sentinels name', () => {
  it('is used, and goes on with the next master when the first one is killed, without waiting for it', async () => {
    await using redis = await startSentinelRedis();
    await using cache = await open(redis.url);
    await useAll(cache, 'a');
    await cache.set('a', 'text', 60_000);
    await redis.master.stop();
    await untilFound(cache, 'a', 'again');
    await useAll(cache, 'b');
    expect(await keysOf(redis.replica.url)).toContain('test::{a}');
  });

  it('answers `unavailable` while no sentinel answers, and nothing rejects', async () => {
    await using cache = await create('redis-sentinel://127.0.0.1:1,127.0.0.1:2/mymaster');
    expect(await cache.get('a')).toBe('unavailable');
    await cache.set('a', 'text', 1000);
    await cache.delete(['a']);
  });
});

describe('A shared cache in a cluster', () => {
  it('puts keys on all of its masters, and a key and its claim on the same one', async () => {
    await using redis = await startClusterRedis();
    await using cache = await open(redis.url);
    for (let n = 0; n < 20; n++) await useAll(cache, `key-${n}`);
    for (let n = 0; n < 20; n++) {
      await cache.set(`key-${n}`, 'text', 60_000);
      expect(await cache.claim(`key-${n}`, 60_000)).toMatchObject({ release: expect.any(Function) });
    }
    for (const { url } of redis.masters) {
      const keys = await keysOf(url);
      expect(keys.length).toBeGreaterThan(0);
      const claims = keys.filter(key => key.startsWith('test:lock::'));
      expect(claims.map(key => key.replace(':lock', '')).sort()).toEqual(
        keys.filter(key => !claims.includes(key)).sort(),
      );
    }
    await cache.delete(Array.from({ length: 20 }, (_, n) => `key-${n}`));
    for (let n = 0; n < 20; n++) expect(await cache.get(`key-${n}`)).toBeUndefined();
  });

  it('follows slots that another server has now', async () => {
    await using redis = await startClusterRedis();
    await using cache = await open(redis.url);
    const key = keyOf(0);
    const slot = String(slotOfKey(key));
    const next = (await redis.send(1, ['CLUSTER', 'MYID'])) as string;
    for (const server of [1, 0, 2]) await redis.send(server, ['CLUSTER', 'SETSLOT', slot, 'NODE', next]);
    await untilFound(cache, key, 'text');
    expect(await keysOf(redis.masters[1]?.url ?? '')).toEqual([`test::{${key}}`]);
  });

  it('goes on with the replica of a master that is killed, and with the others meanwhile', async () => {
    await using redis = await startClusterRedis();
    await using cache = await open(redis.url);
    const [lost, kept] = [keyOf(0), keyOf(1)];
    await cache.set(kept, 'text', 60_000);
    await redis.masters[0]?.stop();
    // Until the others know, they answer as before.
    expect(await cache.get(kept)).toMatchObject({ text: 'text' });
    await untilFound(cache, lost, 'again');
    await useAll(cache, lost);
  });

  it('has the slots that Redis has', async () => {
    await using redis = await startClusterRedis();
    for (const key of [
      'a',
      '',
      'post:1',
      '日本',
      '{a}b',
      'x{a}b',
      '{}a',
      '{a',
      'a}',
      'x{{a}}',
      'test::{list:{"a":1}}',
    ]) {
      expect([key, slotOfKey(key)]).toEqual([key, await redis.send(0, ['CLUSTER', 'KEYSLOT', key])]);
    }
  });
});

/** A key on the master of a third of the slots. */
function keyOf(third: number): string {
  for (let n = 0; ; n++) if (Math.floor((3 * slotOfKey(`k${n}`)) / 16_384) === third) return `k${n}`;
}

/** Every command that the service sends. */
async function useAll(cache: RedisCache, key: string): Promise<void> {
  await cache.set(key, 'text', 60_000);
  expect(await cache.get(key)).toMatchObject({ text: 'text' });
  const claim = await cache.claim(key, 60_000);
  expect(await cache.look(key)).toMatchObject({ isClaimed: true });
  if (typeof claim === 'object') await claim.release();
  expect(await cache.look(key)).toMatchObject({ isClaimed: false });
  await cache.delete([key, 'none']);
  expect(await cache.get(key)).toBeUndefined();
}

async function untilFound(cache: RedisCache, key: string, text: string): Promise<void> {
  for (;;) {
    await cache.set(key, text, 60_000);
    const found = await cache.get(key);
    if (typeof found === 'object' && found.text === text) return;
    await sleep(10);
  }
}

async function keysOf(url: string): Promise<string[]> {
  const client = createClient({ url });
  client.on('error', () => {});
  await client.connect();
  try {
    return (await client.sendCommand(['KEYS', '*'])) as unknown as string[];
  } finally {
    client.destroy();
  }
}

async function create(url: string): Promise<RedisCache> {
  const log = await createLogger({ level: 'info', format: 'json' }, new LogLines());
  return new RedisCache(url, { namespace: 'test', timeoutMs: 1000, log });
}

async function open(url: string): Promise<RedisCache> {
  const cache = await create(url);
  for (let n = 0; n < 3; n++) while ((await cache.get(keyOf(n))) === 'unavailable') await sleep(5);
  return cache;
}
