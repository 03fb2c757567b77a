import { createClient } from '@connectrpc/connect';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { migrateToLatest } from '#src/db/migrations/migrate.ts';
import { createLogger } from '#src/observability/logger.ts';
import { LogLines } from '#test/support/log-lines.ts';
import { aPost } from '#test/support/post-builder.ts';
import { createTestDatabase } from '#test/support/postgres.ts';
import { query } from '#test/support/query.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';
import { TRANSPORTS } from '#test/support/transports.ts';
import { WatchReader } from '#test/support/watch-reader.ts';

/** What somebody may write by hand, by the rule that it breaks. */
const UNREADABLE = [
  ['posts_readable_publish_time', "publish_time = 'infinity'"],
  ['posts_readable_publish_time', "publish_time = '-infinity'"],
  ['posts_readable_publish_time', "publish_time = '0044-03-15 00:00:00+00 BC'"],
  ['posts_readable_publish_time', "publish_time = '0001-01-01 00:00:00+00'::timestamptz - interval '1ms'"],
  ['posts_readable_publish_time', "publish_time = '10000-01-01 00:00:00+00'"],
  ['posts_readable_create_time', "create_time = 'infinity'"],
  ['posts_readable_update_time', "update_time = '-infinity'"],
  ['posts_readable_delete_time', "delete_time = 'infinity'"],
  ['posts_readable_purge_time', "purge_time = 'infinity'"],
  ['posts_readable_tags', "tags = '{{a,b},{c,d}}'"],
  ['posts_readable_content', "content = repeat('x', 3 * 1024 * 1024 + 1)"],
  ['posts_readable_texts', "title = repeat('x', 65536)"],
  ['posts_readable_texts', 'tags = array(select n::text from generate_series(1, 10000) n)'],
] as const;

/** As far as a post can go, and beyond what the API takes. */
const ODD = [
  "publish_time = '0001-01-01 00:00:00+00'",
  "publish_time = '9999-12-31 23:59:59.999+00'",
  "create_time = '0001-01-01 00:00:00+00'",
  "create_time = '1969-12-31 23:59:59.999+00'",
  "update_time = '0099-01-01 00:00:00+00'",
  "update_time = '9999-12-31 23:59:59.999+00'",
  "delete_time = '1900-01-01 00:00:00+00'",
  "purge_time = '9999-12-31 23:59:59.999+00'",
  "tags = '{}'",
  `tags = '{"","NULL"}'`,
  "tags = '[3:4]={a,b}'",
  'tags = array(select n::text from generate_series(1, 1000) n)',
  "content = repeat('x', 3 * 1024 * 1024)",
  "title = repeat('x', 10000)",
  "title = ''",
  "author = repeat('😀', 255)",
  "slug = ''",
  "slug = 'No slug / ☃'",
] as const;

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

describe('A post that the service could not answer with', () => {
  it.each(UNREADABLE)('is refused by the rule %s: %s', async (constraint, assignment) => {
    await service.client.createPost({ post: aPost() });
    const writing = query(service.databaseUrl, `update posts set ${assignment}`);
    await expect(writing).rejects.toMatchObject({ code: '23514', constraint });
  });
});

describe('A post that somebody wrote by hand, as far as the rules let them', () => {
  it.each(ODD)('is listed, read, watched and updated: %s', async assignment => {
    for (const name of ['Connect in JSON over HTTP/1.1', 'gRPC over HTTP/2'] as const) {
      const client = createClient(PostService, TRANSPORTS[name](service.url, {}));
      const author = `${name} ${assignment}`.slice(0, 200);
      const created = (await client.createPost({ post: aPost({ author }) })).post;
      const id = created?.id ?? '';
      const watch = new WatchReader(client.watchPosts({}));
      await watch.until(({ places }) => places.length > 0);
      await query(service.databaseUrl, `update posts set ${assignment}, revision = revision + 1 where id = '${id}'`);
      await watch.until(({ changes }) => changes.some(change => change.post?.id === id));
      const post = (await client.getPost({ key: { case: 'id', value: id } })).post;
      expect(post?.etag).not.toBe(created?.etag);
      const list = { author: post?.author ?? '', showDeleted: true, pageSize: 1 };
      for (const orderBy of ['create_time', 'update_time desc', 'publish_time'])
        expect((await client.listPosts({ ...list, orderBy })).posts.map(found => found.id)).toEqual([id]);
      if (post?.deleteTime !== undefined) await client.undeletePost({ id, etag: post.etag });
      else await client.updatePost({ post: { id, etag: post?.etag ?? '', title: 'After' } });
      await query(service.databaseUrl, `delete from posts where id = '${id}'`);
    }
  });
});

describe('A migration, where there are such posts already', () => {
  it('goes on, says in the log which they are, and checks them again the next time', async () => {
    await using database = await createTestDatabase();
    await insertUnreadable(database.url, insertPost("'infinity'", '{}'), insertPost('null', '{{a},{b}}'));
    const [{ id } = { id: '' }] = (await query(
      database.url,
      "select id from posts where publish_time = 'infinity'",
    )) as { id: string }[];

    const log = new LogLines();
    const logger = await createLogger({ level: 'info', format: 'json' }, log);
    expect(await migrateToLatest(database.url, logger)).toEqual([]);
    expect(log.lines).toMatchObject([
      { constraint: 'posts_readable_publish_time', posts: [id], total: 1 },
      { constraint: 'posts_readable_tags', total: 1 },
    ]);
    expect(await unchecked(database.url)).toEqual(['posts_readable_publish_time', 'posts_readable_tags']);

    await query(database.url, "update posts set publish_time = null where publish_time = 'infinity'");
    await query(database.url, 'delete from posts where array_ndims(tags) = 2');
    log.lines.length = 0;
    // It waits for no writer.
    const writer = new pg.Client(database.url);
    await writer.connect();
    await writer.query('begin');
    await writer.query(insertPost('null', '{}'));
    expect(await migrateToLatest(database.url, logger)).toEqual([]);
    await writer.end();
    expect(log.lines).toEqual([]);
    expect(await unchecked(database.url)).toEqual([]);
  });

  it('leaves those that can be deleted, of which watchers are told', async () => {
    await using database = await createTestDatabase();
    await insertUnreadable(database.url, insertPost("'infinity'", '{{a},{b}}'));
    await using other = await startTestService({ DATABASE_URL: database.url });
    const json = createClient(PostService, TRANSPORTS['Connect in JSON over HTTP/1.1'](other.url, {}));
    const watch = new WatchReader(json.watchPosts({}));
    await watch.until(({ places }) => places.length > 0);
    await query(database.url, 'delete from posts');
    const { post } = await other.client.createPost({ post: aPost() });
    await watch.until(({ changes }) => changes.some(change => change.post?.id === post?.id));
    expect(watch.changes[0]?.post).toMatchObject({ publishTime: { seconds: 253_402_300_799n }, tags: ['a', 'b'] });
  });
});

/** As it is where the rows were there before the rules, which the migration added without looking at them. */
async function insertUnreadable(url: string, ...inserts: readonly string[]): Promise<void> {
  const rules = (await query(
    url,
    `select conname as name, pg_get_constraintdef(oid) as definition from pg_constraint
     where conname like 'posts\\_readable\\_%'`,
  )) as { name: string; definition: string }[];
  await query(url, `alter table posts ${rules.map(({ name }) => `drop constraint ${name}`).join(', ')}`);
  for (const insert of inserts) await query(url, insert);
  for (const { name, definition } of rules)
    await query(url, `alter table posts add constraint ${name} ${definition} not valid`);
}

function insertPost(publishTime: string, tags: string): string {
  return `insert into posts (id, slug, title, content, author, tags, publish_time, create_time, update_time)
    values (gen_random_uuid(), gen_random_uuid(), 'By hand', '', '', '${tags}', ${publishTime}, now(), now())`;
}

async function unchecked(url: string): Promise<string[]> {
  const rows = await query(
    url,
    `select conname as name from pg_constraint where conrelid = 'posts'::regclass and contype = 'c' and not convalidated order by 1`,
  );
  return (rows as { name: string }[]).map(({ name }) => name);
}
