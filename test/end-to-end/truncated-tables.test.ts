import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { untilFeedHeard } from '#test/support/feed-heard.ts';
import { expectEnded, expectExpired, expectHits, expectRest, HistoryClient } from '#test/support/parted-history.ts';
import { aPost } from '#test/support/post-builder.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { query } from '#test/support/query.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let postgres: PrivatePostgres;
let service: TestService;

beforeAll(async () => {
  postgres = await startPrivatePostgres({ settings: { max_prepared_transactions: '5' } });
  service = await startTestService({ DATABASE_URL: postgres.url, CACHE_TTL: '1h' });
});
afterAll(async () => {
  await service?.[Symbol.asyncDispose]();
  await postgres?.[Symbol.asyncDispose]();
});

const get = (id: string) => service.client.getPost({ key: { case: 'id', value: id } });

describe.each([
  'truncate posts',
  'truncate posts, post_tags',
  'truncate post_tags, posts',
  'truncate posts, post_changes, create_requests restart identity',
  'truncate posts cascade',
  "begin; truncate posts; prepare transaction 'truncates'; commit prepared 'truncates'",
])('%s', statement => {
  it('ends the watches, and nothing of the posts is served any more', async () => {
    using client = new HistoryClient(service);
    const gone = await client.remember('Gone');
    const { post: tagged } = await service.client.createPost({ post: aPost({ tags: ['truncated'] }) });
    await inSession(statement.split('; '));
    await expectEnded(client.watch);
    await untilFeedHeard(service);
    for (const id of [gone.id, tagged?.id ?? '']) expect(await failureOf(get(id))).toMatchObject({ code: 'not_found' });
    for (const filter of [{}, { tag: 'truncated' }]) expect((await service.client.listPosts(filter)).posts).toEqual([]);
    using later = new HistoryClient(service);
    const { id, resumeToken } = await later.remember('Later');
    expect(later.watch.changes.map(({ post }) => post?.id)).toEqual([id]);
    await expectExpired(service, postgres.url, gone.resumeToken);
    await expectHits(service, id);
    const [{ count }] = (await query(postgres.url, 'select count(*)::int from post_changes')) as [{ count: number }];
    expect(count).toBeGreaterThan(0);
    // That of `expectExpired`.
    const [last] = (await query(postgres.url, 'select post_id from post_changes order by id desc limit 1')) as {
      post_id: string;
    }[];
    await expectRest(service, resumeToken, [last?.post_id ?? '']);
  });
});

describe.each(['truncate post_changes', 'truncate post_changes restart identity'])('%s', statement => {
  it('ends the watches, and leaves the posts', async () => {
    using client = new HistoryClient(service);
    const kept = await client.remember('Kept');
    await query(postgres.url, statement);
    await expectEnded(client.watch);
    expect((await get(kept.id)).post?.title).toBe('Kept');
    using later = new HistoryClient(service);
    const { id } = await later.remember('Later');
    expect(later.watch.changes.map(({ post }) => post?.id)).toEqual([id]);
    await expectExpired(service, postgres.url, kept.resumeToken);
  });
});

/** Each is a query of its own, or they would all be of one transaction. */
async function inSession(statements: readonly string[]): Promise<void> {
  const client = new pg.Client(postgres.url);
  await client.connect();
  for (const statement of statements) await client.query(statement);
  await client.end();
}
