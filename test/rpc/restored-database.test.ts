import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrateToLatest } from '#src/db/migrate.ts';
import { burnIds } from '#test/support/burn-ids.ts';
import { untilFeedHeard } from '#test/support/feed-heard.ts';
import { aPost } from '#test/support/post-builder.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { query } from '#test/support/query.ts';
import { restoreDatabase } from '#test/support/restore-database.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';
import { WatchReader } from '#test/support/watch-reader.ts';

const SECRET = 'a secret of thirty-two characters';
const POSTS = 5;

/** The younger cluster has given out fewer ids. */
let younger: PrivatePostgres;
let older: PrivatePostgres;

beforeAll(async () => {
  [younger, older] = [await startPrivatePostgres(), await startPrivatePostgres()];
  await burnIds(older.url, 5000);
});
afterAll(async () => {
  await younger?.[Symbol.asyncDispose]();
  await older?.[Symbol.asyncDispose]();
});

describe.each([
  ['a younger cluster', { from: () => older, to: () => younger, name: 'restored_1' }],
  ['an older cluster', { from: () => younger, to: () => older, name: 'restored_2' }],
  ['the same cluster under another name', { from: () => older, to: () => older, name: 'restored_3' }],
])('A database that was restored into %s', (_case, { from, to, name }) => {
  it('tells what happens from then on, once, refuses older tokens, and is cached', async () => {
    const token = await useSource(from().url);
    const url = Object.assign(new URL(to().url), { pathname: name }).href;
    await query(to().url, `create database ${name}`);
    await migrateToLatest(url);
    await restoreDatabase(from().url, url);
    await using service = await start(url);
    await untilFeedHeard(service);
    const ending = new AbortController();
    const watch = new WatchReader(service.client.watchPosts({}, { signal: ending.signal }));
    await watch.until(({ places }) => places.length === 1);
    const ids: string[] = [];
    for (let n = 0; n < POSTS; n++) ids.push((await service.client.createPost({ post: aPost() })).post?.id ?? '');
    await watch.until(({ changes }) => changes.length >= POSTS);
    await untilFeedHeard(service);
    expect(watch.changes.map(({ post }) => post?.id)).toEqual(ids);
    await expectRefused(service, token);
    // When the ids have come as far as the source's, too.
    await burnIds(url, 6000);
    await service.client.createPost({ post: aPost() });
    await expectRefused(service, token);
    await untilFeedHeard(service);
    const get = () => service.client.getPost({ key: { case: 'id', value: ids[0] ?? '' } });
    await get();
    const hits = await hitsOf(service);
    await get();
    expect(await hitsOf(service)).toBe(hits + 1);
    ending.abort();
  });
});

describe('A database into which changes of another one are merged while it is used', () => {
  it('ends the watches, and tells what happens from then on, once', async () => {
    const url = Object.assign(new URL(younger.url), { pathname: 'merged' }).href;
    await query(younger.url, 'create database merged');
    await migrateToLatest(url);
    await using service = await start(url);
    await untilFeedHeard(service);
    const before = new WatchReader(service.client.watchPosts({}));
    await before.until(({ places }) => places.length === 1);
    await useSource(older.url);
    await restoreDatabase(older.url, url);
    await expect(before.until(() => false)).rejects.toMatchObject({ rawMessage: expect.stringContaining('resume') });
    const ending = new AbortController();
    const watch = new WatchReader(service.client.watchPosts({}, { signal: ending.signal }));
    await watch.until(({ places }) => places.length === 1);
    const { post } = await service.client.createPost({ post: aPost() });
    await watch.until(({ changes }) => changes.length >= 1);
    await untilFeedHeard(service);
    expect(watch.changes.map(change => change.post?.id)).toEqual([post?.id]);
    ending.abort();
  });
});

/** Some changes, of which some are purged. @returns a token that has seen them. */
async function useSource(url: string): Promise<string> {
  await using service = await start(url);
  const watch = new WatchReader(service.client.watchPosts({}));
  await watch.until(({ places }) => places.length === 1);
  for (let n = 0; n < POSTS; n++) await service.client.createPost({ post: aPost() });
  await watch.until(({ changes }) => changes.length === POSTS);
  await query(url, 'delete from post_changes where id < (select max(id) from post_changes)');
  return watch.places.at(-1)?.resumeToken ?? '';
}

async function expectRefused(service: TestService, resumeToken: string): Promise<void> {
  const failure = failureOf(
    (async () => {
      for await (const _ of service.client.watchPosts({ resumeToken }));
    })(),
  );
  expect(await failure).toMatchObject({ code: 'out_of_range', reason: 'RESUME_TOKEN_EXPIRED' });
}

function start(url: string): Promise<TestService> {
  return startTestService({ DATABASE_URL: url, PAGE_TOKEN_SECRET: SECRET });
}

async function hitsOf(service: TestService): Promise<number> {
  const metrics = await (await fetch(`${service.adminUrl}/metrics`)).text();
  return Number(/^cache_answers_total\{tier="near",outcome="hit"\} (\d+)/m.exec(metrics)?.[1] ?? 0);
}
