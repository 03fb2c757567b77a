import { setTimeout as sleep } from 'node:timers/promises';
import { v4 as uuidv4 } from 'uuid';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { aPost } from '#test/support/post-builder.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { query } from '#test/support/query.ts';
import { startTestService } from '#test/support/test-service.ts';

let postgres: PrivatePostgres;
beforeAll(async () => {
  postgres = await startPrivatePostgres();
});
afterAll(() => postgres?.[Symbol.asyncDispose]());

it('while every backend is terminated each second, 99 of 100 calls succeed and no write is lost or made twice (R4)', async () => {
  // What comes from a cache needs no backend.
  await using service = await startTestService({ DATABASE_URL: postgres.url, CACHE_NEAR_BYTES: '0B' });
  const { post: read } = await service.client.createPost({ post: aPost() });
  const acknowledged: string[] = [];
  const failures: string[] = [];
  const call = async (n: number) => {
    try {
      if (n % 10 === 0) {
        const { post } = await service.client.createPost({
          post: aPost({ author: 'R4', title: `${n}` }),
          requestId: uuidv4(),
        });
        acknowledged.push(post?.id ?? '');
      } else if (n % 10 === 1) await service.client.listPosts({ pageSize: 5 });
      else await service.client.getPost({ key: { case: 'id', value: read?.id ?? '' } });
    } catch (error) {
      failures.push(`${n}: ${error}`);
    }
  };
  const calls: Promise<void>[] = [];
  let terminated = 0;
  // Open loop: a call each 5 ms, whatever became of those before.
  const startedAt = performance.now();
  for (let n = 0; n < CALLS; n++) {
    if (n > 0 && n % CALLS_PER_SECOND === 0) terminated += await postgres.terminateBackends();
    calls.push(call(n));
    const due = startedAt + ((n + 1) * 1000) / CALLS_PER_SECOND;
    if (due > performance.now()) await sleep(due - performance.now());
  }
  await Promise.all(calls);
  const rows = (await query(postgres.url, `select id, title from posts where author = 'R4'`)) as Row[];
  console.log(
    `R4: ${terminated} backends terminated, ${CALLS - failures.length} of ${CALLS} calls succeeded, ${acknowledged.length} writes acknowledged, ${rows.length} rows`,
  );
  expect(terminated).toBeGreaterThan(0);
  expect(failures.length, failures.join('\n')).toBeLessThanOrEqual(CALLS / 100);
  expect(rows.map(({ id }) => id)).toEqual(expect.arrayContaining(acknowledged));
  expect(new Set(rows.map(({ title }) => title)).size).toBe(rows.length);
});

const CALLS_PER_SECOND = 200;
const CALLS = 5 * CALLS_PER_SECOND;

interface Row {
  readonly id: string;
  readonly title: string;
}
