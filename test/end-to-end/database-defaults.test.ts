import { randomUUID } from 'node:crypto';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { createConnectTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createDatabase } from '#src/db/database.ts';
import { migrateToLatest } from '#src/db/migrations/migrate.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { purge } from '#src/posts/store/purge-job.ts';
import { livePostsThrough } from '#test/end-to-end/post-scenario.ts';
import { startPgBouncer, type TestPgBouncer } from '#test/support/pgbouncer.ts';
import { aPost } from '#test/support/post-builder.ts';
import { createTestDatabase } from '#test/support/postgres.ts';
import { query } from '#test/support/query.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';
import { WatchReader } from '#test/support/watch-reader.ts';

/** Each of them changes how values are written or read, or what a statement does, where it is not set by the connection. */
const FORMS = [
  ['DateStyle', 'SQL, DMY'],
  ['DateStyle', 'German'],
  ['DateStyle', 'Postgres, MDY'],
  ['TimeZone', 'America/St_Johns'],
  ['TimeZone', 'Asia/Kathmandu'],
  ['IntervalStyle', 'sql_standard'],
  ['IntervalStyle', 'iso_8601'],
  ['extra_float_digits', '-15'],
  ['bytea_output', 'escape'],
  ['client_encoding', 'LATIN1'],
  ['standard_conforming_strings', 'off'],
  ['array_nulls', 'off'],
  ['transform_null_equals', 'on'],
  ['default_transaction_isolation', 'repeatable read'],
  ['default_transaction_isolation', 'serializable'],
] as const;
/** A pooler drops what would set these, as docs/deployment.md says. */
const LIMITS = [
  ['default_transaction_deferrable', 'on'],
  ['exit_on_error', 'on'],
  ['statement_timeout', '1ms'],
  ['lock_timeout', '1ms'],
  ['idle_in_transaction_session_timeout', '1ms'],
  ['idle_session_timeout', '1ms'],
] as const;

describe('Where the database has other defaults, everything works (R37)', () => {
  it.each([...FORMS, ...LIMITS])('%s = %s', async (name, value) => {
    await using database = await createTestDatabase({ migrated: false });
    await setDefault(database.url, name, value);
    await migrateToLatest(database.url);
    await using service = await startTestService({ DATABASE_URL: database.url, CACHE_NEAR_BYTES: '0B' });
    await useAll(service);
    await purgeAll(database.url);
  });
});

describe('Where it has them behind PgBouncer in transaction mode, everything works', () => {
  let bouncer: TestPgBouncer;
  beforeAll(async () => {
    await using database = await createTestDatabase();
    bouncer = await startPgBouncer(database.url);
  });
  afterAll(() => bouncer?.[Symbol.asyncDispose]());

  it.each(FORMS)('%s = %s', async (name, value) => {
    await using database = await createTestDatabase();
    await setDefault(database.url, name, value);
    const { pathname } = new URL(database.url);
    const url = Object.assign(new URL(bouncer.url), { pathname }).href;
    const settings = { DATABASE_PREPARED_STATEMENTS: 'false', CACHE_NEAR_BYTES: '0B' };
    await using service = await startTestService({ DATABASE_URL: url, ...settings });
    await useAll(service);
  });
});

async function setDefault(url: string, name: string, value: string): Promise<void> {
  await query(url, `alter database ${new URL(url).pathname.slice(1)} set ${name} = ${quoted(name, value)}`);
}

/** DateStyle is a list. */
function quoted(name: string, value: string): string {
  return name === 'DateStyle' ? value : `'${value}'`;
}

/** Writes and reads in every way, and compares what comes back. */
async function useAll({ url, client }: TestService): Promise<void> {
  const watch = new WatchReader(client.watchPosts({}));
  await watch.until(({ places }) => places.length > 0);
  await livePostsThrough(createConnectTransport({ baseUrl: url, httpVersion: '1.1' }));

  const author = randomUUID();
  const publishTime = timestampFromDate(new Date('2026-02-03T04:05:06.789Z'));
  const request = { post: aPost({ author, publishTime, tags: ['NULL', 'a\\b', '"'] }), requestId: randomUUID() };
  const { post } = await client.createPost(request);
  expect(post).toMatchObject({ publishTime, tags: request.post.tags });
  expect((await client.createPost(request)).post).toEqual(post);
  expect((await client.getPost({ key: { case: 'id', value: post?.id ?? '' } })).post).toEqual(post);
  await watch.until(({ changes }) => changes.some(change => change.post?.id === post?.id));
  const changed = watch.changes.find(change => change.post?.id === post?.id);
  expect(changed?.post).toEqual({ ...post, content: '' });

  const requests = Array.from({ length: 5 }, () => ({ post: aPost({ author, publishTime }) }));
  await client.batchCreatePosts({ requests });
  for (const orderBy of ['create_time', 'update_time desc', 'publish_time']) {
    const found = new Set<string>();
    let pageToken = '';
    do {
      const page = await client.listPosts({ author, orderBy, pageSize: 2, pageToken });
      for (const { id } of page.posts) found.add(id);
      pageToken = page.nextPageToken;
    } while (pageToken !== '');
    expect(found.size).toBe(6);
  }

  const { post: updated } = await client.updatePost({
    post: { id: post?.id ?? '', etag: post?.etag ?? '', title: 'b' },
  });
  const { post: deleted } = await client.deletePost({ id: post?.id ?? '', etag: updated?.etag ?? '' });
  const days = Number(deleted?.purgeTime?.seconds) - Number(deleted?.deleteTime?.seconds);
  expect(days).toBe(30 * 24 * 3600);
}

async function purgeAll(url: string): Promise<void> {
  const db = createDatabase(new ConnectionPool(url, aDatabaseConfig()));
  try {
    // What is open in other databases of the server keeps changes back for a moment.
    const purged = async () => (await purge(db, { changeRetentionMs: 1 })).post_changes;
    await expect.poll(purged, { timeout: 30_000 }).toBeGreaterThan(0);
  } finally {
    await db.destroy();
  }
}
