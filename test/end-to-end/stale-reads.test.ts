import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { untilFeedHeard } from '#test/support/feed-heard.ts';
import { aPost } from '#test/support/post-builder.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let postgres: PrivatePostgres;
let service: TestService;

beforeAll(async () => {
  postgres = await startPrivatePostgres();
});
afterAll(() => postgres?.[Symbol.asyncDispose]());

beforeEach(async () => {
  // So short that what is in the cache is beyond its time when the next call comes.
  const short = { CACHE_TTL: '1ms', CACHE_LIST_TTL: '1ms', DATABASE_ACQUIRE_TIMEOUT: '250ms' };
  service = await startTestService({ DATABASE_URL: postgres.url, ...short });
});
afterEach(() => service?.[Symbol.asyncDispose]());

describe.each([
  ['stopped (R1)', { fail: () => postgres.stopImmediately(), mend: () => postgres.start() }],
  ['frozen (R2)', { fail: () => postgres.freeze(), mend: () => postgres.thaw() }],
])('while Postgres is %s', (_case, { fail, mend }) => {
  it('every cached read is answered, marked as stale, and others are fresh again when it is back', async () => {
    const reads = await cachedReads();
    for (const read of reads) expect((await read()).headers.get('cache-status')).toBeNull();
    await fail();
    const durations: number[] = [];
    try {
      for (let round = 0; round < 20; round++) {
        for (const read of reads) {
          const startedAt = performance.now();
          const { status, headers, body } = await read();
          durations.push(performance.now() - startedAt);
          expect(status).toBe(200);
          expect(body).toContain('A stale title');
          expect(headers.get('cache-control')).toBe('no-store');
          expect(headers.get('cache-status')).toBe('PostService; hit; detail=STALE_DATABASE_UNAVAILABLE');
          expect(Number(headers.get('age'))).toBeGreaterThanOrEqual(0);
        }
      }
    } finally {
      await mend();
    }
    durations.sort((a, b) => a - b);
    console.log(
      `stale reads: median ${durations[durations.length >> 1]?.toFixed(1)} ms, longest ${durations.at(-1)?.toFixed(1)} ms`,
    );
    for (const read of reads) while ((await read()).headers.get('cache-status') !== null) await sleep(20);
    expect(await service.log.line({ msg: RECOVERED })).toBeDefined();
    expect(service.log.lines.filter(({ msg }) => msg === FAILS)).toHaveLength(1);
    const metrics = await (await fetch(`${service.adminUrl}/metrics`)).text();
    expect(metrics).toMatch(/^cache_answers_total\{tier="near",outcome="stale"\} [1-9]/m);
  });
});

describe('while Postgres is stopped', () => {
  it('what is not in the cache fails, and so does what was served for too long', async () => {
    await using brief = await startTestService({
      ...{ DATABASE_URL: postgres.url, CACHE_TTL: '20ms', CACHE_STALE_IF_ERROR: '100ms' },
    });
    const { post } = await brief.client.createPost({ post: aPost() });
    const get = () => brief.client.getPost({ key: { case: 'id', value: post?.id ?? '' } });
    await get();
    await postgres.stopImmediately();
    try {
      for (;;) {
        const call = get();
        if ((await call.catch(() => undefined)) !== undefined) continue;
        expect(await failureOf(call)).toMatchObject({ code: 'unavailable', reason: 'DATABASE_UNAVAILABLE' });
        break;
      }
    } finally {
      await postgres.start();
    }
  });
});

const FAILS = 'the database fails: what is in the cache is served beyond its time, and marked as stale';
const RECOVERED = 'the database answers again: no stale answers are served any more';

interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly body: string;
}

/** Reads whose answers are in the cache. */
async function cachedReads(): Promise<(() => Promise<Answer>)[]> {
  const { post } = await service.client.createPost({ post: aPost({ title: 'A stale title' }) });
  await untilFeedHeard(service);
  const read = (rpc: string, request: object) => async () => {
    const response = await fetch(`${service.url}/blog.v1.PostService/${rpc}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(request),
    });
    return { status: response.status, headers: response.headers, body: await response.text() };
  };
  const reads = [
    read('GetPost', { id: post?.id }),
    read('GetPost', { slug: post?.slug }),
    read('BatchGetPosts', { ids: [post?.id] }),
    read('ListPosts', { pageSize: 10 }),
  ];
  // Until the feed is there, nothing is kept; and its word of the write would make useless what was read before.
  for (let entries = 0; entries < 3; ) {
    for (const each of reads) await each();
    const metrics = await (await fetch(`${service.adminUrl}/metrics`)).text();
    entries = Number(/^cache_near_entries (\d+)/m.exec(metrics)?.[1]);
  }
  await sleep(30);
  return reads;
}
