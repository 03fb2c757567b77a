import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aPost } from '#test/support/post-builder.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let service: TestService;
const author = uuidv7();

beforeAll(async () => {
  service = await startTestService();
  // Created as a, b, c, d; updated as d, a, c, b; published as c, a, d, and b a draft.
  const publishTimes = { a: '2026-01-02', b: undefined, c: '2026-01-01', d: '2026-01-03' };
  const ids: Record<string, string> = {};
  for (const [title, date] of Object.entries(publishTimes)) {
    const publishTime = date === undefined ? {} : { publishTime: timestampFromDate(new Date(date)) };
    const { post } = await service.client.createPost({ post: aPost({ title, author, ...publishTime }) });
    ids[title] = post?.id ?? '';
  }
  let latest = '';
  for (const title of ['d', 'a', 'c', 'b']) {
    // Times have milliseconds: each update is repeated until it has one of its own.
    const previous = latest;
    while (latest === previous) {
      const { post } = await service.client.updatePost({ post: { id: ids[title] ?? '', content: 'updated' } });
      latest = `${post?.updateTime?.seconds}.${post?.updateTime?.nanos}`;
    }
  }
});
afterAll(() => service?.[Symbol.asyncDispose]());

async function titles(orderBy: string): Promise<string> {
  const { posts } = await service.client.listPosts({ author, orderBy });
  return posts.map(post => post.title).join('');
}

describe('ListPosts, order_by', () => {
  it.each([
    ['', 'dcba'],
    ['create_time', 'abcd'],
    ['create_time desc', 'dcba'],
    ['update_time', 'dacb'],
    ['update_time desc', 'bcad'],
    ['publish_time', 'cadb'],
    ['publish_time desc', 'bdac'],
  ])('%j lists %s', async (orderBy, expected) => {
    expect(await titles(orderBy)).toBe(expected);
  });

  it('orders posts with equal times by id', async () => {
    const name = uuidv7();
    const requests = ['x', 'y', 'z'].map(title => ({ post: aPost({ title, author: name }) }));
    const { posts } = await service.client.batchCreatePosts({ requests });
    const ids = posts.map(post => post.id).sort();
    for (const field of ['create_time', 'update_time', 'publish_time']) {
      const ascending = await service.client.listPosts({ author: name, orderBy: field });
      expect(ascending.posts.map(post => post.id)).toEqual(ids);
      const descending = await service.client.listPosts({ author: name, orderBy: `${field} desc` });
      expect(descending.posts.map(post => post.id)).toEqual(ids.toReversed());
    }
  });

  it.each(['  create_time  ', ' create_time   desc ', '\tcreate_time\ndesc'])(
    'spaces do not count, as in %j (AIP-132)',
    async orderBy => {
      expect(await titles(orderBy)).toBe(orderBy.includes('desc') ? 'dcba' : 'abcd');
    },
  );

  it.each([
    'title',
    'id',
    'createTime',
    'CREATE_TIME',
    'create_time asc',
    'create_time DESC',
    'create_time desc desc',
    'create_time,update_time',
    'create_time, id',
    'desc',
    'desc create_time',
    '-create_time',
    'create_time; drop table posts',
    'create_time desc; drop table posts--',
    "create_time' or '1'='1",
    'create_time--',
    '(select 1)',
    '1',
    'deleted',
    'publish_order',
    'create_time\0',
    'constructor',
    '__proto__',
    'toString desc',
  ])('%j is INVALID_ARGUMENT', async orderBy => {
    expect(await failureOf(titles(orderBy))).toMatchObject({
      code: 'invalid_argument',
      reason: 'INVALID_ORDER_BY',
      fields: ['order_by'],
    });
  });

  it('of more than 64 characters is INVALID_ARGUMENT', async () => {
    const failure = await failureOf(titles(`create_time${' '.repeat(54)}`));
    expect(failure).toMatchObject({ code: 'invalid_argument', fields: ['order_by'] });
  });
});
