import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { migrateToLatest } from '#src/db/migrations/migrate.ts';
import { burnIds } from '#test/support/burn-ids.ts';
import { untilFeedHeard } from '#test/support/feed-heard.ts';
import { type FullPostgres, startFullPostgres } from '#test/support/full-postgres.ts';
import {
  expectEnded,
  expectExpired,
  expectForgotten,
  expectHits,
  expectRest,
  HistoryClient,
} from '#test/support/parted-history.ts';
import { aPost } from '#test/support/post-builder.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { query } from '#test/support/query.ts';
import { startRedis } from '#test/support/redis.ts';
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

describe('A database that is restored, while it is used, to what it was before', () => {
  it.each([
    ['by rows', undefined],
    ['by pg_restore --clean', startFullPostgres],
  ])('forgets what was lost, in all caches, and refuses all older tokens: %s', async (_case, startFull) => {
    await using parts = new AsyncDisposableStack();
    const full = await startFull?.().catch((error: Error) => error);
    if (full instanceof Error) return console.log(`not run: pg_restore --clean: ${full.message}`);
    const { url } = full === undefined ? await emptyDatabase('again') : parts.use(full);
    await migrateToLatest(url);
    const settings = { REDIS_URL: parts.use(await startRedis()).url, REDIS_TIMEOUT: '2s', CACHE_TTL: '1h' };
    const service = parts.use(await start(url, settings));
    using client = new HistoryClient(service);
    const kept = await client.remember('Kept');
    const restore = full === undefined ? await saveRows(url) : await dump(full);
    await client.rename(kept, 'Lost title');
    const lost = await client.remember('Lost');
    await restore();
    await expectEnded(client.watch);
    await untilFeedHeard(service);
    await expectForgotten(service, lost, kept);
    await expectForgotten(parts.use(await start(url, settings)), lost, kept);
    using later = new HistoryClient(service);
    const { id } = await later.remember('Later');
    expect(later.watch.changes.map(({ post }) => post?.id)).toEqual([id]);
    for (const { resumeToken } of [kept, lost]) await expectExpired(service, url, resumeToken);
    await expectHits(service, kept.id);
  });
});

describe('A database that was copied', () => {
  it('by create database … template, refuses the tokens of the first one, which goes on', async () => {
    const { url } = await emptyDatabase('first');
    await migrateToLatest(url);
    const before = await start(url);
    using client = new HistoryClient(before);
    const kept = await client.remember('Kept');
    await before[Symbol.asyncDispose]();
    await query(younger.url, 'create database second template first');
    await using first = await start(url);
    await using second = await start(Object.assign(new URL(url), { pathname: 'second' }).href);
    await expectExpired(second, url, kept.resumeToken);
    await expectRest(first, kept.resumeToken, []);
    expect((await second.client.getPost({ key: { case: 'id', value: kept.id } })).post?.title).toBe('Kept');
    await expectHits(second, kept.id);
  });

  it('by logical replication, refuses the tokens of the first one, and takes writes', async () => {
    await using parts = new AsyncDisposableStack();
    const logical = { settings: { wal_level: 'logical' } };
    const first = parts.use(await startPrivatePostgres(logical));
    const second = parts.use(await startPrivatePostgres(logical));
    const service = parts.use(await start(first.url));
    using client = new HistoryClient(service);
    const kept = await client.remember('Kept');
    await query(first.url, 'create publication all_posts for all tables');
    for (const table of ['kysely_migration', 'kysely_migration_lock', 'post_changes_history', 'post_changes_removed'])
      await query(second.url, `delete from ${table}`);
    await query(second.url, `create subscription all_posts connection '${first.url}' publication all_posts`);
    const later = await client.remember('Streamed');
    const isCopied = `select 1 from posts where id = '${later.id}'`;
    while ((await query(second.url, isCopied)).length === 0) await turn();
    // Each table is copied by itself.
    const isUnderWay = "select 1 from pg_subscription_rel where srsubstate <> 'r'";
    while ((await query(second.url, isUnderWay)).length > 0) await turn();
    await service[Symbol.asyncDispose]();
    await query(second.url, 'drop subscription all_posts');
    await using moved = await start(second.url);
    using reader = new HistoryClient(moved);
    // The identity of changes begins at 1, as the sequences of a copy do.
    const { id } = await reader.remember('Written there');
    expect(reader.watch.changes.map(({ post }) => post?.id)).toEqual([id]);
    for (const { resumeToken } of [kept, later]) await expectExpired(moved, second.url, resumeToken);
    await expectHits(moved, later.id);
  });
});

async function emptyDatabase(name: string): Promise<{ readonly url: string }> {
  await query(younger.url, `create database ${name}`);
  return { url: Object.assign(new URL(younger.url), { pathname: name }).href };
}

/** Keeps all rows aside. @returns what puts them back. */
async function saveRows(url: string): Promise<() => Promise<void>> {
  const { url: saved } = await emptyDatabase('saved');
  await migrateToLatest(saved);
  await restoreDatabase(url, saved);
  return () => restoreDatabase(saved, url);
}

async function dump({ url, bin, folder }: FullPostgres): Promise<() => Promise<void>> {
  const file = join(folder, 'dump');
  const run = async (program: string, ...options: string[]) => {
    await promisify(execFile)(join(bin, program), options);
  };
  await run('pg_dump', '--format=custom', `--file=${file}`, url);
  return () => run('pg_restore', '--clean', '--single-transaction', '--exit-on-error', `--dbname=${url}`, file);
}

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

function start(url: string, settings = {}): Promise<TestService> {
  return startTestService({ DATABASE_URL: url, PAGE_TOKEN_SECRET: SECRET, ...settings });
}

async function hitsOf(service: TestService): Promise<number> {
  const metrics = await (await fetch(`${service.adminUrl}/metrics`)).text();
  return Number(/^cache_answers_total\{tier="near",outcome="hit"\} (\d+)/m.exec(metrics)?.[1] ?? 0);
}
