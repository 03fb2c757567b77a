import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostView, PublishState } from '#gen/blog/v1/post_pb.js';
import { aPost } from '#test/support/post-builder.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const SECRET = 'the secret of every instance, 0123456789';
let service: TestService;
const author = uuidv7();
const TITLES = ['a', 'b', 'c', 'd', 'e', 'f', 'g'];

beforeAll(async () => {
  service = await startTestService({ PAGE_TOKEN_SECRET: SECRET });
  for (const [n, title] of TITLES.entries()) {
    // Two with each publish time, and the last a draft.
    const publishTime = timestampFromDate(new Date(2026, 0, 1 + Math.floor(n / 2)));
    const fields = { title, author, tags: ['t'], content: 'text', ...(title !== 'g' && { publishTime }) };
    await service.client.createPost({ post: aPost(fields) });
  }
});
afterAll(() => service?.[Symbol.asyncDispose]());

type Request = Parameters<TestService['client']['listPosts']>[0];
const list = (request: Request) => service.client.listPosts({ author, orderBy: 'create_time', ...request });
const tokenOf = async (request: Request = {}) => (await list({ pageSize: 2, ...request })).nextPageToken;

describe('ListPosts, page_token', () => {
  it.each(['create_time', 'update_time', 'publish_time'].flatMap(field => [field, `${field} desc`]))(
    'leads through all posts, each once, in the order %s',
    async orderBy => {
      for (const pageSize of [1, 2, 3, 7]) {
        const seen: string[] = [];
        let pageToken = '';
        do {
          const page = await list({ orderBy, pageSize, pageToken });
          seen.push(...page.posts.map(post => post.title));
          pageToken = page.nextPageToken;
        } while (pageToken !== '');
        expect(seen).toEqual(orderBy.endsWith('desc') ? TITLES.toReversed() : TITLES);
      }
    },
  );

  it('is empty on the last page, also where that is full', async () => {
    expect(await tokenOf({ pageSize: 6 })).not.toBe('');
    expect(await tokenOf({ pageSize: 7 })).toBe('');
    expect(await tokenOf({ pageSize: 8 })).toBe('');
  });

  it('is safe in a URL, and says nothing of the post that it stands for', async () => {
    const token = await tokenOf();
    expect(token).toMatch(/^[A-Za-z0-9_-]+$/);
    const { posts } = await list({ pageSize: 2 });
    expect(Buffer.from(token, 'base64url').toString('hex')).not.toContain(posts[1]?.id.replaceAll('-', ''));
  });

  it('goes with another page_size, skip and view', async () => {
    const pageToken = await tokenOf();
    const page = await list({ pageToken, pageSize: 3, skip: 1, view: PostView.FULL });
    expect(page.posts.map(post => post.title)).toEqual(['d', 'e', 'f']);
    expect(page.posts[0]?.content).toBe('text');
  });

  it('may be used again', async () => {
    const pageToken = await tokenOf();
    expect((await list({ pageToken })).posts).toEqual((await list({ pageToken })).posts);
  });

  it('is good on every instance with the same secret', async () => {
    await using other = await startTestService({ PAGE_TOKEN_SECRET: SECRET, DATABASE_URL: service.databaseUrl });
    const request = { author, orderBy: 'create_time', pageToken: await tokenOf() };
    expect((await other.client.listPosts(request)).posts[0]?.title).toBe('c');
  });

  it('of an instance with another secret is INVALID_ARGUMENT', async () => {
    await using other = await startTestService({ DATABASE_URL: service.databaseUrl });
    const { nextPageToken } = await other.client.listPosts({ author, orderBy: 'create_time', pageSize: 2 });
    expect(await failureOf(list({ pageToken: nextPageToken }))).toMatchObject({ reason: 'INVALID_PAGE_TOKEN' });
  });

  const others: [string, Request][] = [
    ['another author', { author: 'x' }],
    ['no author', { author: '' }],
    ['a tag', { tag: 't' }],
    ['a publish_state', { publishState: PublishState.PUBLISHED }],
    ['show_deleted', { showDeleted: true }],
    ['another direction', { orderBy: 'create_time desc' }],
    ['the default order', { orderBy: '' }],
    ['another order', { orderBy: 'update_time' }],
  ];
  it.each(others)('with %s is INVALID_ARGUMENT: it comes from another query', async (_, change) => {
    expect(await failureOf(list({ pageToken: await tokenOf(), ...change }))).toMatchObject({
      code: 'invalid_argument',
      reason: 'INVALID_PAGE_TOKEN',
      fields: ['page_token'],
    });
  });

  it('is INVALID_ARGUMENT with any one character altered', async () => {
    const token = await tokenOf();
    const altered = Array.from(token, (character, at) => {
      return token.slice(0, at) + (character === 'A' ? 'B' : 'A') + token.slice(at + 1);
    });
    for (const pageToken of altered) {
      expect(await failureOf(list({ pageToken }))).toMatchObject({ reason: 'INVALID_PAGE_TOKEN' });
    }
  });

  it.each([
    ['cut short', (token: string) => token.slice(0, -1)],
    ['prolonged', (token: string) => `${token}A`],
    ['padded', (token: string) => `${token}=`],
    ['twice', (token: string) => token + token],
    ['with a space before it', (token: string) => ` ${token}`],
    ['in plain base64', (token: string) => Buffer.from(token, 'base64url').toString('base64').replace(/^./, '+')],
  ])('%s is INVALID_ARGUMENT', async (_, alter) => {
    const failure = await failureOf(list({ pageToken: alter(await tokenOf()) }));
    expect(failure).toMatchObject({ code: 'invalid_argument', reason: 'INVALID_PAGE_TOKEN' });
  });

  it.each(['1', 'x', '0', '\0', "' or 1=1 --", '😀', 'A'.repeat(70), 'A'.repeat(1024)])(
    '%j, which nobody gave out, is INVALID_ARGUMENT',
    async pageToken => {
      expect(await failureOf(list({ pageToken }))).toMatchObject({ reason: 'INVALID_PAGE_TOKEN' });
    },
  );

  it('of more than 1,024 characters is INVALID_ARGUMENT', async () => {
    const failure = await failureOf(list({ pageToken: 'A'.repeat(1025) }));
    expect(failure).toMatchObject({ code: 'invalid_argument', reason: 'VALIDATION_FAILED', fields: ['page_token'] });
  });
});
