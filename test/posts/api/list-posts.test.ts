import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PostView, PublishState } from '#gen/blog/v1/post_pb.js';
import { aPost, type PostFields } from '#test/support/post-builder.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const MIB = 1024 * 1024;
let service: TestService;
/** Has 105 posts, titled 0 to 104 in the order of their creation, each with the tag `shelf`. */
const prolific = uuidv7();

beforeAll(async () => {
  service = await startTestService();
  for (const from of [0, 100]) {
    const titles = Array.from({ length: Math.min(100, 105 - from) }, (_, n) => String(from + n));
    // One batch has one create_time, so the order within it is that of the ids.
    await service.client.batchCreatePosts({
      requests: titles.map(title => ({ post: aPost({ title, author: prolific, tags: ['shelf'] }) })),
    });
  }
});
afterAll(() => service?.[Symbol.asyncDispose]());

type Request = Parameters<TestService['client']['listPosts']>[0];
async function create(fields: PostFields) {
  const { post } = await service.client.createPost({ post: aPost(fields) });
  if (post === undefined) throw new Error('no post in the answer');
  return post;
}
const list = (request: Request) => service.client.listPosts(request);
const titles = async (request: Request) => (await list(request)).posts.map(post => post.title);

describe('ListPosts', () => {
  it('returns nothing, and no token, where nothing matches', async () => {
    expect(await list({ author: uuidv7() })).toMatchObject({ posts: [], nextPageToken: '' });
  });

  it('has no side effects: it may be called with an HTTP GET', async () => {
    const message = JSON.stringify({ author: prolific, pageSize: 1 });
    const query = new URLSearchParams({ connect: 'v1', encoding: 'json', message });
    const response = await fetch(`${service.url}/blog.v1.PostService/ListPosts?${query}`);
    expect(await response.json()).toMatchObject({ posts: [{ title: '104' }] });
  });

  describe('page_size', () => {
    it.each([
      [0, 20],
      [1, 1],
      [99, 99],
      [100, 100],
      [101, 100],
      [2 ** 31 - 1, 100],
    ])('%i returns %i posts', async (pageSize, posts) => {
      const page = await list({ author: prolific, pageSize });
      expect(page.posts).toHaveLength(posts);
      expect(page.nextPageToken).not.toBe('');
    });

    it.each([-1, -(2 ** 31)])('%i is INVALID_ARGUMENT', async pageSize => {
      const failure = await failureOf(list({ pageSize }));
      expect(failure).toMatchObject({ code: 'invalid_argument', reason: 'VALIDATION_FAILED', fields: ['page_size'] });
    });
  });

  describe('skip', () => {
    it('passes over posts from the start', async () => {
      expect(await titles({ author: prolific, skip: 3, pageSize: 2 })).toEqual(['101', '100']);
    });

    it('passes over posts from the page_token', async () => {
      const { nextPageToken: pageToken } = await list({ author: prolific, pageSize: 1 });
      expect(await titles({ author: prolific, pageToken, skip: 2, pageSize: 2 })).toEqual(['101', '100']);
    });

    it('beyond the last post returns none, and no token', async () => {
      const page = await list({ author: prolific, skip: 105 });
      expect(page).toMatchObject({ posts: [], nextPageToken: '' });
      expect(await titles({ author: prolific, skip: 1_000_000 })).toEqual([]);
    });

    it.each([-1, 1_000_001])('%i is INVALID_ARGUMENT', async skip => {
      expect(await failureOf(list({ skip }))).toMatchObject({ code: 'invalid_argument', fields: ['skip'] });
    });
  });

  describe('view', () => {
    it.each([PostView.UNSPECIFIED, PostView.BASIC])('%i has everything but content', async view => {
      const post = await create({
        author: uuidv7(),
        content: 'text',
        tags: ['a'],
        publishTime: timestampFromDate(new Date()),
      });
      const { posts } = await list({ author: post.author, view });
      expect(posts).toEqual([{ ...post, content: '' }]);
    });

    it('FULL has the whole post', async () => {
      const post = await create({ author: uuidv7(), content: 'text' });
      expect((await list({ author: post.author, view: PostView.FULL })).posts).toEqual([post]);
    });

    it('FULL ends a page at 3 MiB of content, and loses none', async () => {
      const author = uuidv7();
      for (const title of ['a', 'b', 'c', 'd']) await create({ author, title, content: 'x'.repeat(MIB) });
      const first = await list({ author, view: PostView.FULL });
      expect(first.posts.map(post => post.title)).toEqual(['d', 'c', 'b']);
      const second = await list({ author, view: PostView.FULL, pageToken: first.nextPageToken });
      expect(second).toMatchObject({ posts: [{ title: 'a' }], nextPageToken: '' });
    });

    it('that does not exist is INVALID_ARGUMENT', async () => {
      const failure = await failureOf(list({ view: 3 as PostView }));
      expect(failure).toMatchObject({ code: 'invalid_argument', fields: ['view'] });
    });
  });

  describe('filters', () => {
    it('author: exactly this one', async () => {
      const author = uuidv7();
      for (const name of [author, author.toUpperCase(), `${author} `, `%${author}`]) {
        await create({ author: name, title: name });
      }
      expect(await titles({ author })).toEqual([author]);
      expect(await titles({ author: `${author.slice(0, 30)}%` })).toEqual([]);
    });

    it('tag: exactly this one', async () => {
      const tag = uuidv7();
      for (const tags of [[tag, 'other'], [tag.toUpperCase()], [`${tag} `]])
        await create({ tags, title: tags[0] ?? '' });
      expect(await titles({ tag })).toEqual([tag]);
    });

    it('author and tag: both', async () => {
      const [author, tag] = [uuidv7(), uuidv7()];
      await create({ title: 'both', author, tags: [tag] });
      await create({ title: 'author', author });
      await create({ title: 'tag', tags: [tag] });
      expect(await titles({ author, tag })).toEqual(['both']);
    });

    it.each([
      ['author', { author: 'x'.repeat(256) }],
      ['author', { author: 'a\0' }],
      ['tag', { tag: 'x'.repeat(65) }],
      ['tag', { tag: '\0' }],
      ['publish_state', { publishState: 4 as PublishState }],
    ])('%s beyond its limit is INVALID_ARGUMENT', async (field, request) => {
      expect(await failureOf(list(request))).toMatchObject({ code: 'invalid_argument', fields: [field] });
    });

    it.each(["' or 1=1 --", '"; drop table posts; --', '\\', '$1'])('%j is only text', async text => {
      expect(await titles({ author: text, tag: text })).toEqual([]);
      await create({ author: text, tags: [text], title: 'found' });
      expect(await titles({ author: text, tag: text })).toEqual(['found']);
    });
  });

  describe('publish_state', () => {
    const author = uuidv7();
    const soon = () => timestampFromDate(new Date(Date.now() + 3_600_000));
    beforeAll(async () => {
      await create({ author, title: 'draft' });
      await create({ author, title: 'scheduled', publishTime: soon() });
      await create({ author, title: 'published', publishTime: timestampFromDate(new Date(Date.now() - 1)) });
      await create({ author, title: 'last', publishTime: timestampFromDate(new Date('9999-12-31T23:59:59.999Z')) });
    });

    it.each([
      [PublishState.UNSPECIFIED, ['last', 'published', 'scheduled', 'draft']],
      [PublishState.DRAFT, ['draft']],
      [PublishState.SCHEDULED, ['last', 'scheduled']],
      [PublishState.PUBLISHED, ['published']],
    ])('%i returns %j', async (publishState, expected) => {
      expect(await titles({ author, publishState })).toEqual(expected);
    });

    it('follows a post from draft to publication', async () => {
      const { id, author: name } = await create({ author: uuidv7(), title: 'moving' });
      const states = [PublishState.DRAFT, PublishState.SCHEDULED, PublishState.PUBLISHED];
      const found = async () => {
        const lists = await Promise.all(states.map(publishState => titles({ author: name, publishState })));
        return states.filter((_, n) => lists[n]?.length === 1);
      };
      expect(await found()).toEqual([PublishState.DRAFT]);
      await service.client.updatePost({ post: { id, publishTime: soon() } });
      expect(await found()).toEqual([PublishState.SCHEDULED]);
      await service.client.updatePost({ post: { id, publishTime: timestampFromDate(new Date(0)) } });
      expect(await found()).toEqual([PublishState.PUBLISHED]);
    });
  });

  describe('show_deleted', () => {
    it('lists soft-deleted posts among the live ones, in their order', async () => {
      const author = uuidv7();
      const ids: string[] = [];
      for (const title of ['a', 'b', 'c']) ids.push((await create({ author, title })).id);
      await service.client.deletePost({ id: ids[1] ?? '' });
      expect(await titles({ author })).toEqual(['c', 'a']);
      expect(await titles({ author, showDeleted: true })).toEqual(['c', 'b', 'a']);
      const { posts } = await list({ author, showDeleted: true });
      expect(posts.map(post => post.deleteTime !== undefined)).toEqual([false, true, false]);
    });
  });
});
