import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from '@connectrpc/connect';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { lockPosts } from '#test/support/lock-posts.ts';
import { aPost } from '#test/support/post-builder.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { type RunningQueries, watchRunningQueries } from '#test/support/running-queries.ts';
import { startTestService } from '#test/support/test-service.ts';
import { ERROR_ENCODINGS, TRANSPORTS } from '#test/support/transports.ts';

const DEADLINE_EXCEEDED = { code: 'deadline_exceeded', reason: 'DEADLINE_EXCEEDED' };
/** So that nothing but the deadline ends a statement. */
const PATIENT = { DATABASE_LOCK_TIMEOUT: '1h', DATABASE_STATEMENT_TIMEOUT: '1h', DATABASE_POOL_MAX: '50' };
let database: TestDatabase;
let queries: RunningQueries;

beforeAll(async () => {
  database = await createTestDatabase();
  queries = await watchRunningQueries(database.url);
});
afterAll(async () => {
  await queries?.[Symbol.asyncDispose]();
  await database?.[Symbol.asyncDispose]();
});
const start = (settings: Record<string, string> = {}) =>
  startTestService({ DATABASE_URL: database.url, ...PATIENT, ...settings });

describe("a call's deadline", () => {
  it.each(ERROR_ENCODINGS)('cancels its statement in Postgres, through %s', async name => {
    await using service = await start();
    await using _lock = await lockPosts(database.url);
    const client = createClient(PostService, TRANSPORTS[name](service.url, {}));
    // As a header, so that it is the server who has to keep it, and no timer of the client.
    const headers = name.startsWith('gRPC') ? { 'grpc-timeout': '300m' } : { 'connect-timeout-ms': '300' };
    const call = failureOf(client.createPost({ post: aPost() }, { headers }));
    await queries.until(1);
    expect(await call).toMatchObject(DEADLINE_EXCEEDED);
    await queries.until(0);
  });

  it('is DEADLINE_DEFAULT where the client sets none', async () => {
    await using service = await start({ DEADLINE_DEFAULT: '300ms' });
    await using _lock = await lockPosts(database.url);
    for (const name of ERROR_ENCODINGS) {
      const client = createClient(PostService, TRANSPORTS[name](service.url, {}));
      expect(await failureOf(client.createPost({ post: aPost() }))).toMatchObject(DEADLINE_EXCEEDED);
    }
    await queries.until(0);
  });

  it.each(['60000', '2147483648', '9999999999'])('is DEADLINE_MAX at most, with %s ms', async timeout => {
    await using service = await start({ DEADLINE_DEFAULT: '100ms', DEADLINE_MAX: '300ms' });
    await using _lock = await lockPosts(database.url);
    const headers = { 'connect-timeout-ms': timeout };
    const startedAt = performance.now();
    expect(await failureOf(service.client.createPost({ post: aPost() }, { headers }))).toMatchObject(DEADLINE_EXCEEDED);
    expect(performance.now() - startedAt).toBeGreaterThanOrEqual(299);
    await queries.until(0);
  });

  it('also cancels the statements of a transaction, which leaves nothing behind', async () => {
    await using service = await start();
    const headers = { 'connect-timeout-ms': '300' };
    const requests = [{ post: aPost({ author: 'nobody' }) }, { post: aPost({ author: 'nobody' }) }];
    {
      await using _lock = await lockPosts(database.url);
      const call = service.client.batchCreatePosts({ requests }, { headers });
      expect(await failureOf(call)).toMatchObject(DEADLINE_EXCEEDED);
      await queries.until(0);
    }
    expect((await service.client.listPosts({ author: 'nobody' })).posts).toEqual([]);
  });

  it('leaves the connection good for the next call', async () => {
    await using service = await start({ DATABASE_POOL_MAX: '1' });
    const { post } = await service.client.createPost({ post: aPost() });
    for (let n = 0; n < 5; n++) {
      {
        await using _lock = await lockPosts(database.url);
        const headers = { 'connect-timeout-ms': '50' };
        await failureOf(service.client.updatePost({ post: { id: post?.id ?? '', title: 'Never' } }, { headers }));
        // Until it is cancelled, it would do its work as soon as the lock is gone.
        await queries.until(0);
      }
      const found = await service.client.getPost({ key: { case: 'id', value: post?.id ?? '' } });
      expect(found.post).toEqual(post);
    }
  });
});

describe('a call that the client cancels', () => {
  it.each(ERROR_ENCODINGS)('has its statement cancelled in Postgres, through %s', async name => {
    await using service = await start();
    await using _lock = await lockPosts(database.url);
    const client = createClient(PostService, TRANSPORTS[name](service.url, {}));
    const cancelling = new AbortController();
    const call = client.createPost({ post: aPost() }, { signal: cancelling.signal });
    const ended = expect(call).rejects.toThrow(/cancel|abort/);
    await queries.until(1);
    cancelling.abort();
    await ended;
    await queries.until(0);
    const line = await service.log.line({ procedure: 'blog.v1.PostService/CreatePost' });
    expect(line).toMatchObject({ code: 'canceled', aborted: true });
  });

  it('leaves no statement behind, whenever it is cancelled (R24)', {
    timeout: 300_000,
  }, async () => {
    // 10,000 of them, with the service in a process of its own: npm run bench cancel.
    const CALLS = 2_000;
    const AT_ONCE = 8;
    const CANCELLED_WITHIN_MS = 20;
    await using service = await start();
    await using _lock = await lockPosts(database.url);
    const random = seeded(24);
    let next = 0;
    const cancelSome = async (name: (typeof ERROR_ENCODINGS)[number]) => {
      const client = createClient(PostService, TRANSPORTS[name](service.url, {}));
      while (next < CALLS) {
        next++;
        const cancelling = new AbortController();
        const { signal } = cancelling;
        // Writes wait for the lock for ever; reads are cancelled on their way, or answered before.
        const call =
          random() < 0.8
            ? client.createPost({ post: aPost() }, { signal })
            : client.listPosts({ pageSize: 1 }, { signal });
        const ended = call.catch(() => 'failed');
        await sleep(random() * CANCELLED_WITHIN_MS);
        cancelling.abort();
        await ended;
      }
    };
    const callers = Array.from({ length: AT_ONCE }, (_, n) => cancelSome(ERROR_ENCODINGS[n % 4] ?? ERROR_ENCODINGS[0]));
    const done = Promise.all(callers);
    const ages: number[] = [];
    while (next < CALLS) ages.push(await queries.oldestMs());
    await done;
    // The service still finds calls in its sockets whose clients are gone. One that nobody cancelled would run for an hour.
    while ((await queries.count()) > 0) ages.push(await queries.oldestMs());
    const oldest = Math.max(...ages);
    const late = ages.filter(age => age > 100 + CANCELLED_WITHIN_MS).length;
    console.log(
      `R24: ${CALLS} calls, each cancelled within ${CANCELLED_WITHIN_MS} ms; looked ${ages.length} times: ` +
        `the oldest statement was ${oldest.toFixed(0)} ms old, ${late} times one ran 100 ms longer than its call, none is left`,
    );
    // Were none ever seen at work, the calls would have been cancelled before they got that far. How old they get depends
    // on how busy the machine is, and decides nothing.
    expect(oldest).toBeGreaterThan(0);
  });
});

/** Random numbers from 0 to 1, the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
