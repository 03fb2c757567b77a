import { randomUUID } from 'node:crypto';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostView } from '#gen/blog/v1/post_pb.js';
import { aPost } from '#test/support/post-builder.ts';
import { createTestDatabase } from '#test/support/postgres.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const parts = new AsyncDisposableStack();
/** Connects as a role that may read every column of `posts` but `content`. */
let blind: TestService;

beforeAll(async () => {
  const database = parts.use(await createTestDatabase());
  await using service = await startTestService({ DATABASE_URL: database.url });
  await service.client.createPost({ post: aPost({ content: 'text', tags: ['t'] }) });

  const admin = new pg.Client(database.url);
  await admin.connect();
  const role = `reader_${randomUUID().replaceAll('-', '')}`;
  await admin.query(`create role ${role} login password '${role}'`);
  parts.defer(async () => {
    await admin.query(`drop owned by ${role}`);
    await admin.query(`drop role ${role}`);
    await admin.end();
  });
  const { rows } = await admin.query<{ columns: string }>(
    `select string_agg(quote_ident(column_name), ', ') as columns from information_schema.columns
     where table_name = 'posts' and column_name <> 'content'`,
  );
  await admin.query(`grant select (${rows[0]?.columns}) on posts to ${role}`);
  await admin.query(`grant select on post_tags, kysely_migration to ${role}`);

  const url = new URL(database.url);
  url.username = role;
  url.password = role;
  blind = parts.use(await startTestService({ DATABASE_URL: url.href }));
});
afterAll(() => parts.disposeAsync());

describe('ListPosts where content must not be read', () => {
  it.each([{}, { tag: 't' }, { showDeleted: true }, { tag: 't', showDeleted: true }, { orderBy: 'publish_time' }])(
    'lists with the view BASIC: %j',
    async request => {
      const { posts } = await blind.client.listPosts({ ...request, view: PostView.BASIC });
      expect(posts).toMatchObject([{ title: 'A title', content: '' }]);
    },
  );

  it('fails with the view FULL, so the database does refuse', async () => {
    expect(await failureOf(blind.client.listPosts({ view: PostView.FULL }))).toMatchObject({ code: 'internal' });
    await blind.log.line({ code: 'internal' });
    const causes = blind.log.lines.flatMap(line => (line.err === undefined ? [] : [JSON.stringify(line.err)]));
    expect(causes).toEqual([expect.stringContaining('permission denied for table posts')]);
  });
});
