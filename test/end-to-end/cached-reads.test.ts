import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { untilFeedHeard } from '#test/support/feed-heard.ts';
import { clientsForManyCalls } from '#test/support/many-calls.ts';
import { aPost } from '#test/support/post-builder.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { COUNTING_SETTINGS, countStatements, READS_BY_ID, type StatementCount } from '#test/support/statement-count.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let postgres: PrivatePostgres;
let statements: StatementCount;
let service: TestService;

beforeAll(async () => {
  postgres = await startPrivatePostgres({ settings: COUNTING_SETTINGS });
  statements = await countStatements(postgres.url);
  service = await startTestService({ DATABASE_URL: postgres.url });
  await untilCached();
});
afterAll(async () => {
  await service?.[Symbol.asyncDispose]();
  await statements?.[Symbol.asyncDispose]();
  await postgres?.[Symbol.asyncDispose]();
});

describe('Reads through the cache', () => {
  it('make one statement of a thousand of one cold post at the same time (R23)', async () => {
    const id = await create();
    await untilFeedHeard(service);
    await statements.reset();
    const client = clientsForManyCalls(service.url);
    const answers = await Promise.all(Array.from({ length: 1000 }, (_, n) => titleOf(id, client(n))));
    expect(new Set(answers)).toEqual(new Set(['A title']));
    expect(await statements.like(READS_BY_ID)).toBe(1);
    await Promise.all(Array.from({ length: 100 }, () => titleOf(id)));
    expect(await statements.like(READS_BY_ID)).toBe(1);
  });

  it('never give an older version after a write through the same instance', async () => {
    const id = await create();
    for (let n = 0; n < 50; n++) {
      const reading = Array.from({ length: 4 }, () => titleOf(id));
      await service.client.updatePost({ post: { id, title: `Title ${n}` }, updateMask: { paths: ['title'] } });
      expect(await titleOf(id)).toBe(`Title ${n}`);
      await Promise.all(reading);
      expect(await titleOf(id)).toBe(`Title ${n}`);
    }
  });

  it('follow what is changed by hand in the database, within a moment', async () => {
    const id = await create();
    await titleOf(id);
    await titleOf(id);
    const client = new pg.Client(postgres.url);
    await client.connect();
    await client.query("update posts set title = 'By hand' where id = $1", [id]);
    await client.end();
    while ((await titleOf(id)) !== 'By hand') await sleep(1);
  });

  it('find what another instance has just written, given the token of that write', async () => {
    await using other = await startTestService({ DATABASE_URL: postgres.url, PAGE_TOKEN_SECRET: SECRET });
    await using writer = await startTestService({ DATABASE_URL: postgres.url, PAGE_TOKEN_SECRET: SECRET });
    const id = await create();
    for (let n = 0; n < 20; n++) {
      await other.client.getPost({ key: { case: 'id', value: id } });
      let token = '';
      const onHeader = (headers: Headers) => {
        token = headers.get('x-consistency-token') ?? '';
      };
      const title = `Title ${n}`;
      await writer.client.updatePost({ post: { id, title }, updateMask: { paths: ['title'] } }, { onHeader });
      const headers = { 'x-consistency-token': token };
      const { post } = await other.client.getPost({ key: { case: 'id', value: id } }, { headers });
      expect(post?.title).toBe(title);
    }
  });

  it('are counted in the metrics', async () => {
    const id = await create();
    await titleOf(id);
    await titleOf(id);
    const metrics = await (await fetch(`${service.adminUrl}/metrics`)).text();
    expect(metrics).toMatch(/^cache_answers_total\{tier="near",outcome="hit"\} [1-9]/m);
    expect(metrics).toMatch(/^cache_answers_total\{tier="near",outcome="miss"\} [1-9]/m);
    expect(metrics).toMatch(/^cache_near_bytes [1-9]/m);
    expect(metrics).toMatch(/^cache_near_entries [1-9]/m);
    expect(metrics).toMatch(/^feed_lag_seconds [0-9.e-]+$/m);
  });

  it('go to the database each, where the cache is turned off', async () => {
    await using bare = await startTestService({ DATABASE_URL: postgres.url, CACHE_NEAR_BYTES: '0B' });
    const id = await create();
    await statements.reset();
    for (let n = 0; n < 3; n++) await bare.client.getPost({ key: { case: 'id', value: id } });
    expect(await statements.like(READS_BY_ID)).toBe(3);
  });
});

const SECRET = 'a secret of more than thirty-two characters';

async function create(): Promise<string> {
  const { post } = await service.client.createPost({ post: aPost() });
  return post?.id ?? '';
}

async function titleOf(value: string, client = service.client): Promise<string | undefined> {
  return (await client.getPost({ key: { case: 'id', value } })).post?.title;
}

/** The feed has connected: what is read from now on is kept. */
async function untilCached(): Promise<void> {
  const id = await create();
  do {
    await titleOf(id);
    await statements.reset();
    await titleOf(id);
  } while ((await statements.like(READS_BY_ID)) > 0);
}
