import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { RedisCache } from '#src/cache/redis-cache.ts';
import { createLogger } from '#src/observability/logger.ts';
import type { CircuitBreakerState } from '#src/resilience/circuit-breaker.ts';
import { LogLines } from '#test/support/log-lines.ts';
import { startRedis, type TestRedis } from '#test/support/redis.ts';
import { startTcpProxy, type TcpProxy } from '#test/support/tcp-proxy.ts';

let redis: TestRedis;
let proxy: TcpProxy;
let cache: RedisCache;
let log: LogLines;
let states: CircuitBreakerState[];
let changedAt: number[];

beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis?.[Symbol.asyncDispose]());

beforeEach(async () => {
  proxy = await startTcpProxy({ host: '127.0.0.1', port: Number(new URL(redis.url).port) });
  log = new LogLines();
  states = [];
  changedAt = [];
  cache = await open();
  await untilAvailable(cache);
});
afterEach(async () => {
  await cache?.[Symbol.asyncDispose]();
  await proxy?.[Symbol.asyncDispose]();
});

describe('A shared cache', () => {
  it('gives what was put there, until its time is over, and says how much of it is left', async () => {
    await cache.set('a', 'text', 60_000);
    const entry = await cache.get('a');
    expect(entry).toMatchObject({ text: 'text' });
    expect(typeof entry === 'object' ? entry.leftMs : 0).toBeGreaterThan(50_000);
    await cache.set('b', 'text', 1);
    while ((await cache.get('b')) !== undefined) await sleep(1);
  });

  it('forgets what it is told to, for all', async () => {
    await using other = await open();
    await untilAvailable(other);
    await cache.set('c', 'text', 60_000);
    expect(await other.get('c')).toMatchObject({ text: 'text' });
    await other.delete(['c', 'd']);
    expect(await cache.get('c')).toBeUndefined();
  });

  it('shares nothing with who has another namespace', async () => {
    await using other = await open({ namespace: 'another' });
    await untilAvailable(other);
    await cache.set('e', 'text', 60_000);
    expect(await other.get('e')).toBeUndefined();
  });

  it('lets one claim a key, until it is released', async () => {
    const mine = await cache.claim('f', 60_000);
    expect(await cache.claim('f', 60_000)).toBe('taken');
    expect(await cache.look('f')).toEqual({ isClaimed: true, entry: undefined });
    if (typeof mine === 'object') await mine.release();
    expect(await cache.look('f')).toEqual({ isClaimed: false, entry: undefined });
  });

  it('lets a claim end by itself, and nobody release what has become another one', async () => {
    const ended = await cache.claim('claimed again', 1);
    let others = await cache.claim('claimed again', 60_000);
    while (typeof others === 'string') others = await cache.claim('claimed again', 60_000);
    if (typeof ended === 'object') await ended.release();
    expect(await cache.claim('claimed again', 60_000)).toBe('taken');
  });
});

describe('A shared cache whose Redis', () => {
  it('is black-holed answers within its timeout, and after a few calls at once (R8)', async () => {
    await cache.set('g', 'text', 600_000);
    proxy.set({ blackHole: true });
    const ages: number[] = [];
    const slow: number[] = [];
    for (let n = 0; n < 300; n++) {
      const startedAt = performance.now();
      expect(await cache.get('g')).toBe('unavailable');
      ages.push(performance.now() - startedAt);
      if ((ages.at(-1) ?? 0) > 40) slow.push(ages.length);
      await sleep(2);
    }
    console.log(`black hole: the oldest promise ${Math.max(...ages).toFixed(1)} ms, slow calls: ${slow.length} of 300`);
    expect(states).toEqual(['open']);
    expect(slow.length).toBeLessThanOrEqual(10);
    proxy.heal();
    await untilAvailable(cache);
    expect(await cache.get('g')).toMatchObject({ text: 'text' });
    expect(log.lines.filter(({ level }) => level === WARN)).toHaveLength(1);
    await log.line({ msg: 'the shared cache works again' });
  });

  it('comes and goes is left alone for a while, and not tried each time (R9)', async () => {
    // One every 5 ms, whether or not earlier ones are answered.
    const calls: Promise<unknown>[] = [];
    const caller = setInterval(() => calls.push(cache.get('h')), 5);
    for (let n = 0; n < 50; n++) {
      proxy.set({ blackHole: n % 2 === 0 });
      if (n % 10 === 9) proxy.reset();
      await sleep(200);
    }
    clearInterval(caller);
    proxy.heal();
    await Promise.all(calls);
    // A busy machine takes longer than 10 s for all of it.
    const changes = changedAt.filter(at => at - (changedAt[0] ?? 0) < 10_000).length;
    console.log(`flapping: the breaker changed its state ${changes} times in 10 s`);
    expect(changes).toBeGreaterThan(0);
    expect(changes).toBeLessThanOrEqual(6);
    await untilAvailable(cache);
    expect(log.lines.filter(({ level }) => level === WARN).length).toBeLessThanOrEqual(5);
  });

  it('is killed is unavailable at once, and used again when it is back (R7)', async () => {
    await using killed = await startRedis();
    const { port } = new URL(killed.url);
    await using own = await open({ url: killed.url });
    await untilAvailable(own);
    await killed.stop();
    while ((await own.get('i')) !== 'unavailable') await sleep(1);
    const ages: number[] = [];
    for (let n = 0; n < 200; n++) {
      const startedAt = performance.now();
      expect(await own.get('i')).toBe('unavailable');
      ages.push(performance.now() - startedAt);
    }
    ages.sort((a, b) => a - b);
    console.log(`killed: a call takes ${ages[190]?.toFixed(2)} ms at most, 95 times of 100`);
    await using _again = await startRedis({ port: Number(port) });
    await untilAvailable(own);
    await own.set('i', 'text', 60_000);
    expect(await own.get('i')).toMatchObject({ text: 'text' });
  });

  it('is not there at the start costs nothing, and ends nothing', async () => {
    proxy.reset();
    await using gone = await startRedis();
    await gone.stop();
    await using own = await open({ url: gone.url });
    expect(await own.get('j')).toBe('unavailable');
    await own.set('j', 'text', 1000);
    await own.delete(['j']);
    expect(await own.claim('j', 1000)).toBe('unavailable');
  });
});

const WARN = 40;

async function open(options: { readonly namespace?: string; readonly url?: string } = {}): Promise<RedisCache> {
  return new RedisCache(options.url ?? proxy.through(redis.url), {
    namespace: options.namespace ?? 'test',
    timeoutMs: 50,
    log: await createLogger({ level: 'info', format: 'json' }, log),
    onStateChange: state => {
      states.push(state);
      changedAt.push(performance.now());
    },
  });
}

async function untilAvailable(own: RedisCache): Promise<void> {
  while ((await own.get('any')) === 'unavailable') await sleep(1);
}
