import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { lockPosts } from '#test/support/lock-posts.ts';
import { aPost } from '#test/support/post-builder.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService } from '#test/support/test-service.ts';
import { ERROR_ENCODINGS, TRANSPORTS } from '#test/support/transports.ts';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database?.[Symbol.asyncDispose]());

/** The whole of what an error may say. */
const WRITE_CONFLICT = { code: 'aborted', reason: 'WRITE_CONFLICT', retryDelayMs: undefined };
const STATEMENT_TIMEOUT = { code: 'deadline_exceeded', reason: 'STATEMENT_TIMEOUT', retryDelayMs: undefined };
const OVERLOADED = { code: 'unavailable', reason: 'OVERLOADED', retryDelayMs: 1000 };
const UNAVAILABLE = { code: 'unavailable', reason: 'DATABASE_UNAVAILABLE', retryDelayMs: 1000 };

describe('a write that meets a lock which is held', () => {
  it.each([
    ['WRITE_CONFLICT after the lock timeout', WRITE_CONFLICT, { DATABASE_LOCK_TIMEOUT: '20ms' }],
    [
      'STATEMENT_TIMEOUT after the statement timeout',
      STATEMENT_TIMEOUT,
      { DATABASE_LOCK_TIMEOUT: '1min', DATABASE_STATEMENT_TIMEOUT: '20ms' },
    ],
  ])('fails with %s, in each encoding', async (_, expected, settings) => {
    await using service = await startTestService({ DATABASE_URL: database.url, ...settings });
    await using _lock = await lockPosts(database.url);
    for (const name of ERROR_ENCODINGS) {
      const client = createClient(PostService, TRANSPORTS[name](service.url, {}));
      const failure = await failureOf(client.createPost({ post: aPost() }));
      expect(failure).toMatchObject(expected);
      expect(failure.message).not.toMatch(/lock|canceling|statement|posts/);
    }
  });

  it('is logged once, with the cause', async () => {
    await using service = await startTestService({ DATABASE_URL: database.url, DATABASE_LOCK_TIMEOUT: '20ms' });
    await using _lock = await lockPosts(database.url);
    await failureOf(service.client.createPost({ post: aPost() }));
    await service.log.line({ code: 'aborted' });
    const warnings = service.log.lines.filter(line => Number(line.level) >= 40);
    expect(warnings).toHaveLength(1);
    expect(JSON.stringify(warnings[0]?.err)).toContain('canceling statement due to lock timeout');
  });
});

describe('a call for which no connection is free', () => {
  it('fails with UNAVAILABLE and the delay after which to try again, in each encoding', async () => {
    await using service = await startTestService({
      DATABASE_URL: database.url,
      DATABASE_POOL_MAX: '1',
      DATABASE_ACQUIRE_TIMEOUT: '20ms',
      DATABASE_LOCK_TIMEOUT: '1min',
    });
    let waiting: Promise<unknown>;
    {
      await using _lock = await lockPosts(database.url);
      waiting = service.client.createPost({ post: aPost() });
      for (const name of ERROR_ENCODINGS) {
        const client = createClient(PostService, TRANSPORTS[name](service.url, {}));
        expect(await failureOf(client.listPosts({}))).toMatchObject(UNAVAILABLE);
      }
    }
    // The one that had the connection is none the worse for it.
    await expect(waiting).resolves.toMatchObject({ post: { title: 'A title' } });
    await expect(service.client.listPosts({})).resolves.toBeDefined();
  });

  it('waits in front of the pool as long as its deadline allows, and longer than a connection is waited for', async () => {
    await using service = await startTestService({
      DATABASE_URL: database.url,
      DATABASE_POOL_MAX: '1',
      DATABASE_ACQUIRE_TIMEOUT: '50ms',
      DATABASE_LOCK_TIMEOUT: '1min',
    });
    let calls: Promise<unknown>[];
    {
      await using _lock = await lockPosts(database.url);
      calls = Array.from({ length: 10 }, () => service.client.createPost({ post: aPost() }));
      await sleep(200);
    }
    expect(await Promise.all(calls)).toHaveLength(10);
  });

  it('fails at once where too many wait already', async () => {
    await using service = await startTestService({
      DATABASE_URL: database.url,
      DATABASE_POOL_MAX: '1',
      DATABASE_MAX_WAITING: '2',
      DATABASE_LOCK_TIMEOUT: '1min',
    });
    let calls: Promise<unknown>[];
    {
      await using _lock = await lockPosts(database.url);
      calls = Array.from({ length: 10 }, () => service.client.createPost({ post: aPost() }));
      // One has the connection, and two wait for it: the others are answered while the lock is held.
      for (let refused = 0; refused < 7; refused++) {
        const { call, error } = await firstToFail(calls);
        void calls.splice(calls.indexOf(call), 1);
        expect(await failureOf(Promise.reject(error))).toMatchObject(OVERLOADED);
      }
    }
    expect(await Promise.all(calls)).toHaveLength(3);
  });
});

describe('the metrics', () => {
  it('say what the connections to the database do', async () => {
    await using service = await startTestService({
      DATABASE_URL: database.url,
      DATABASE_POOL_MAX: '2',
      DATABASE_LOCK_TIMEOUT: '1min',
    });
    const metrics = async () => (await fetch(`${service.adminUrl}/metrics`)).text();
    let writes: Promise<unknown>[];
    {
      await using _lock = await lockPosts(database.url);
      writes = Array.from({ length: 5 }, () => service.client.createPost({ post: aPost() }));
      await expect.poll(metrics).toMatch(/^admission_queued{where="primary-writes"} 3$/m);
      expect(await metrics()).toMatch(/^admission_in_flight{where="primary-writes"} 2$/m);
      expect(await metrics()).toMatch(/^admission_limit{where="primary-writes"} 2$/m);
      expect(await metrics()).toMatch(/^db_pool_waiting 0$/m);
      expect(await metrics()).toMatch(/^db_pool_in_use 2$/m);
      await expect.poll(metrics).toMatch(/^db_lanes_up 2$/m);
      expect(await metrics()).toMatch(/^db_lanes_in_flight 0$/m);
      expect(await metrics()).toMatch(/^db_replicas_usable 0$/m);
    }
    await Promise.all(writes);
    await expect.poll(metrics).toMatch(/^db_pool_idle 2$/m);
    // A look at the readiness may have a connection now.
    await expect.poll(metrics).toMatch(/^db_pool_in_use 0$/m);
    expect(await metrics()).toMatch(/^admission_queued{where="primary-writes"} 0$/m);
  });
});

function firstToFail(calls: readonly Promise<unknown>[]): Promise<{ call: Promise<unknown>; error: unknown }> {
  return new Promise(resolve => {
    for (const call of calls) call.catch(error => resolve({ call, error }));
  });
}
