import { setTimeout as sleep } from 'node:timers/promises';
import { createClient as createRedisClient } from '@keyv/redis';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { untilFeedHeard } from '#test/support/feed-heard.ts';
import { clientsForManyCalls } from '#test/support/many-calls.ts';
import { aPost } from '#test/support/post-builder.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { startRedis, type TestRedis } from '#test/support/redis.ts';
import { COUNTING_SETTINGS, countStatements, READS_BY_ID, type StatementCount } from '#test/support/statement-count.ts';
import { startTcpProxy, type TcpProxy } from '#test/support/tcp-proxy.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let postgres: PrivatePostgres;
let statements: StatementCount;
let redis: TestRedis;
let proxy: TcpProxy;
let one: TestService;
let other: TestService;

beforeAll(async () => {
  [postgres, redis] = await Promise.all([startPrivatePostgres({ settings: COUNTING_SETTINGS }), startRedis()]);
  statements = await countStatements(postgres.url);
  proxy = await startTcpProxy({ host: '127.0.0.1', port: Number(new URL(redis.url).port) });
  const settings = {
    DATABASE_URL: postgres.url,
    REDIS_URL: proxy.through(redis.url),
    PAGE_TOKEN_SECRET: 'a secret of more than thirty-two characters',
    // A machine that is busy with other tests is no reason to go on without Redis.
    REDIS_TIMEOUT: '2s',
  };
  one = await startTestService(settings);
  other = await startTestService(settings);
  await untilShared();
});
afterAll(async () => {
  await one?.[Symbol.asyncDispose]();
  await other?.[Symbol.asyncDispose]();
  await proxy?.[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
  await statements?.[Symbol.asyncDispose]();
  await postgres?.[Symbol.asyncDispose]();
});

describe('Reads of two instances with one Redis', () => {
  it('make one statement of 500 reads through each of one cold post (R23)', async () => {
    const id = await create();
    await untilFeedHeard(one, other);
    await statements.reset();
    const clients = [clientsForManyCalls(one.url), clientsForManyCalls(other.url)];
    const calls = clients.flatMap(client => Array.from({ length: 500 }, (_, n) => get({ client: client(n) }, id)));
    await Promise.all(calls);
    expect(await statements.like(READS_BY_ID)).toBe(1);
  });

  it('make few more statements than there are posts, when all caches are cold (R10)', async () => {
    const ids = await Promise.all(Array.from({ length: 50 }, create));
    await statements.reset();
    await Promise.all(Array.from({ length: 1000 }, (_, n) => get(n % 2 === 0 ? one : other, ids[n % 50] ?? '')));
    const made = await statements.like(READS_BY_ID);
    console.log(`two cold instances: ${made} statements for 50 posts that were read 1,000 times`);
    expect(made).toBeGreaterThan(0);
    expect(made).toBeLessThanOrEqual(60);
  });

  it('see what was written through the other one, when they know of it', async () => {
    const id = await create();
    for (let n = 0; n < 10; n++) {
      const title = `Title ${n}`;
      await Promise.all([get(one, id), get(other, id)]);
      await one.client.updatePost({ post: { id, title }, updateMask: { paths: ['title'] } });
      expect((await get(one, id))?.title).toBe(title);
      while ((await get(other, id))?.title !== title) await sleep(1);
    }
  });

  it('take what is no answer for none', async () => {
    const id = await create();
    const client = createRedisClient({ url: redis.url });
    await client.connect();
    await get(one, id);
    const [key = ''] = await client.keys(`*id:${id}`);
    for (const garbage of ['', '{', 'null', '[]', '{"version":1}', '{"version":9,"value":{}}', '\u0000\u00ff']) {
      await client.set(key, garbage, { expiration: { type: 'PX', value: 60_000 } });
      await using third = await startThird();
      expect(await get(third, id)).toMatchObject({ id, title: 'A title' });
    }
    client.destroy();
  });
});

describe('Reads with a Redis that', () => {
  it('is black-holed all succeed, and after the first wait for it no more (R8)', async () => {
    await using third = await startThird({ REDIS_TIMEOUT: '50ms' });
    const ids = await Promise.all(Array.from({ length: 100 }, create));
    proxy.set({ blackHole: true });
    try {
      const durations: number[] = [];
      for (const id of ids) {
        const startedAt = performance.now();
        expect(await get(third, id)).toMatchObject({ id });
        durations.push(performance.now() - startedAt);
      }
      const slow = durations.filter(ms => ms > 45).length;
      console.log(
        `black hole: ${slow} of ${ids.length} cold reads waited for Redis, the longest ${Math.max(...durations).toFixed(0)} ms`,
      );
      const metrics = await (await fetch(`${third.adminUrl}/metrics`)).text();
      expect(metrics).toMatch(/^circuit_breaker_state\{dependency="redis"\} 2$/m);
      expect(metrics).toMatch(/^cache_answers_total\{tier="shared",outcome="error"\} [1-9]/m);
    } finally {
      proxy.heal();
    }
  });

  it('is killed all succeed (R7)', async () => {
    await using mortal = await startRedis();
    await using third = await startThird({ REDIS_URL: mortal.url });
    const ids = await Promise.all(Array.from({ length: 100 }, create));
    for (const [n, id] of ids.entries()) {
      if (n === 20) await mortal.stop();
      expect(await get(third, id)).toMatchObject({ id });
    }
    await third.log.line({ msg: 'the shared cache fails, and is not used until it works again' });
  });
});

async function get(service: Pick<TestService, 'client'>, value: string) {
  return (await service.client.getPost({ key: { case: 'id', value } })).post;
}

async function create(): Promise<string> {
  const { post } = await one.client.createPost({ post: aPost() });
  return post?.id ?? '';
}

async function startThird(settings: Readonly<Record<string, string>> = {}): Promise<TestService> {
  const third = await startTestService({
    ...{ DATABASE_URL: postgres.url, REDIS_URL: proxy.through(redis.url), REDIS_TIMEOUT: '2s' },
    ...{ PAGE_TOKEN_SECRET: 'a secret of more than thirty-two characters', ...settings },
  });
  await untilUsed(third);
  return third;
}

/** Both use the cache: each has its feed, and Redis. */
async function untilShared(): Promise<void> {
  for (const service of [one, other]) await untilUsed(service);
}

async function untilUsed(service: TestService): Promise<void> {
  for (;;) {
    const id = await create();
    await get(service, id);
    const metrics = await (await fetch(`${service.adminUrl}/metrics`)).text();
    const isNear = /^cache_near_entries [1-9]/m.test(metrics);
    if (isNear && /^cache_answers_total\{tier="shared",outcome="miss"\} [1-9]/m.test(metrics)) return;
  }
}
