import { randomUUID } from 'node:crypto';
import type { CallOptions } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Criticality } from '#src/resilience/criticality.ts';
import { lockPosts } from '#test/support/lock-posts.ts';
import { aPost } from '#test/support/post-builder.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

/** A queue of four, and nothing but the lock holds a read up. */
const SETTINGS = {
  DATABASE_MAX_WAITING: '4',
  DATABASE_ACQUIRE_TIMEOUT: '1min',
  DATABASE_STATEMENT_TIMEOUT: '1h',
  DATABASE_LOCK_TIMEOUT: '1h',
  DEADLINE_DEFAULT: '1h',
  DEADLINE_MAX: '1h',
};
/** The queue is full long before a sheddable call has waited for too long. */
const OFTEN = { interval: 2 };
let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database?.[Symbol.asyncDispose]());

describe('GetPost, while reads queue', () => {
  it('is refused where it is sheddable, rather than where it is critical', async () => {
    await using service = await startTestService({ DATABASE_URL: database.url, ...SETTINGS });
    const id = await createPost(service);
    await using calls = await fillQueue(service);
    const critical = get(service, id, 'critical');
    expect(await calls.newest).toMatchObject({ code: 'unavailable', reason: 'OVERLOADED' });
    await calls.unlock();
    expect((await critical).post?.id).toBe(id);
  });

  it('leaves the queue when its caller cancels it', async () => {
    await using service = await startTestService({ DATABASE_URL: database.url, ...SETTINGS });
    await using calls = await fillQueue(service);
    calls.cancelNewest();
    await expect.poll(() => queued(service), OFTEN).toBe(3);
  });

  it('is served where it is critical, though a sheddable call for the same post waits, and is refused', async () => {
    await using service = await startTestService({ DATABASE_URL: database.url, ...SETTINGS });
    const id = await createPost(service);
    await using calls = await fillQueue(service, id);
    const critical = get(service, id, 'critical');
    expect(await calls.newest).toMatchObject({ code: 'unavailable', reason: 'OVERLOADED' });
    await calls.unlock();
    expect((await critical).post?.id).toBe(id);
  });
});

/** Has sheddable reads of other posts wait for a lock, until the queue for them is full. @param newest of the last one. */
async function fillQueue(service: TestService, newest: string = randomUUID()) {
  const lock = await lockPosts(service.databaseUrl, 'access exclusive');
  const cancelling = new AbortController();
  const ended: Promise<unknown>[] = [];
  const add = (id: string, options?: CallOptions) => {
    const failure = failureOf(get(service, id, 'sheddable', options));
    ended.push(failure.catch(() => {}));
    return failure;
  };
  while ((await queued(service)) < 3) {
    const before = await waitingOrRunning(service);
    void add(randomUUID());
    await expect.poll(() => waitingOrRunning(service), OFTEN).toBe(before + 1);
  }
  const last = add(newest, { signal: cancelling.signal });
  await expect.poll(() => queued(service), OFTEN).toBe(4);
  let isLocked = true;
  const unlock = async () => {
    if (isLocked) await lock[Symbol.asyncDispose]();
    isLocked = false;
  };
  return {
    newest: last,
    cancelNewest: () => cancelling.abort(),
    unlock,
    [Symbol.asyncDispose]: async () => {
      await unlock();
      await Promise.all(ended);
    },
  };
}

async function createPost({ client }: TestService): Promise<string> {
  return (await client.createPost({ post: aPost() })).post?.id ?? '';
}

function get({ client }: TestService, id: string, criticality: Criticality, options: CallOptions = {}) {
  return client.getPost({ key: { case: 'id', value: id } }, { headers: { 'x-criticality': criticality }, ...options });
}

async function waitingOrRunning(service: TestService): Promise<number> {
  return (await reading(service, 'admission_in_flight')) + (await queued(service));
}

function queued(service: TestService): Promise<number> {
  return reading(service, 'admission_queued');
}

async function reading({ adminUrl }: TestService, metric: string): Promise<number> {
  const text = await (await fetch(`${adminUrl}/metrics`)).text();
  const [, value] = new RegExp(`^${metric}\\{where="primary-reads"\\} (\\d+)$`, 'm').exec(text) ?? [];
  return Number(value);
}
