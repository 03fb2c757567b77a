import { v4 as uuidv4, v7 as uuidv7 } from 'uuid';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { aPost, aSlug, type PostFields } from '#test/support/post-builder.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const MIB = 1024 * 1024;
let service: TestService;

beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

async function create(...requests: { post?: PostFields; requestId?: string; validateOnly?: boolean }[]) {
  return (await service.client.batchCreatePosts({ requests })).posts;
}
async function titlesBy(author: string): Promise<string[]> {
  const { posts } = await service.client.listPosts({ author, pageSize: 100, orderBy: 'create_time' });
  return posts.map(post => post.title).sort();
}

describe('BatchCreatePosts', () => {
  it('returns the posts in the order of the requests', async () => {
    const titles = ['c', 'a', 'b'];
    const posts = await create(...titles.map(title => ({ post: aPost({ title }) })));
    expect(posts.map(post => post.title)).toEqual(titles);
    expect((await service.client.batchGetPosts({ ids: posts.map(post => post.id) })).posts).toEqual(posts);
  });

  it('creates 100 posts in one transaction: they have one create_time', async () => {
    const posts = await create(...Array.from({ length: 100 }, () => ({ post: aPost() })));
    expect(posts).toHaveLength(100);
    expect(new Set(posts.map(post => JSON.stringify(post.createTime, bigintAsText))).size).toBe(1);
  });

  it.each([0, 101])('returns INVALID_ARGUMENT for %i requests', async length => {
    const requests = Array.from({ length }, () => ({ post: aPost() }));
    expect(await failureOf(create(...requests))).toMatchObject({ code: 'invalid_argument', fields: ['requests'] });
  });

  const faults: [string, PostFields | undefined, string][] = [
    ['no post', undefined, 'requests[1].post'],
    ['no title', { slug: 'no-title' }, 'requests[1].post.title'],
    ['a bad slug', { title: 'A', slug: 'A' }, 'requests[1].post.slug'],
    ['a bad time', { title: 'A', publishTime: { seconds: 0n, nanos: -1 } }, 'requests[1].post.publish_time'],
  ];
  it.each(faults)('creates none where one has %s, and says which', async (_, bad, field) => {
    const author = uuidv7();
    const call = create({ post: aPost({ author }) }, bad === undefined ? {} : { post: bad }, {
      post: aPost({ author }),
    });
    expect(await failureOf(call)).toMatchObject({ code: 'invalid_argument', fields: [field] });
    expect(await titlesBy(author)).toEqual([]);
  });

  it('creates none where one slug is taken', async () => {
    const [author, slug] = [uuidv7(), aSlug()];
    await create({ post: aPost({ slug }) });
    expect(await failureOf(create({ post: aPost({ author }) }, { post: aPost({ slug }) }))).toMatchObject({
      code: 'already_exists',
      reason: 'SLUG_TAKEN',
      metadata: { slug },
    });
    expect(await titlesBy(author)).toEqual([]);
  });

  it('creates none where two have one slug', async () => {
    const [author, slug] = [uuidv7(), aSlug()];
    const call = create({ post: aPost({ author, slug }) }, { post: aPost({ author, slug }) });
    expect(await failureOf(call)).toMatchObject({ code: 'already_exists', metadata: { slug } });
    expect(await titlesBy(author)).toEqual([]);
  });

  it('repeated with its request ids returns the first results, and writes nothing', async () => {
    const author = uuidv7();
    const requests = ['a', 'b', 'c'].map(title => ({ post: aPost({ title, author }), requestId: uuidv4() }));
    const first = await create(...requests);
    expect(await create(...requests)).toEqual(first);
    expect(await titlesBy(author)).toEqual(['a', 'b', 'c']);
  });

  it('creates what is new beside a request_id that is repeated', async () => {
    const author = uuidv7();
    const known = { post: aPost({ title: 'known', author }), requestId: uuidv4() };
    const [first] = await create(known);
    const posts = await create({ post: aPost({ title: 'new', author }) }, known);
    expect(posts[1]).toEqual(first);
    expect(await titlesBy(author)).toEqual(['known', 'new']);
  });

  it('knows the request ids of CreatePost, and the other way round', async () => {
    const [one, two] = [uuidv4(), uuidv4()].map(requestId => ({ post: aPost(), requestId }));
    const { post: first } = await service.client.createPost(one ?? {});
    expect(await create(one ?? {})).toEqual([first]);
    const [second] = await create(two ?? {});
    expect((await service.client.createPost(two ?? {})).post).toEqual(second);
  });

  it('creates none where a request_id comes again with another payload', async () => {
    const [author, requestId] = [uuidv7(), uuidv4()];
    await create({ post: aPost(), requestId });
    const call = create({ post: aPost({ author }) }, { post: aPost({ author }), requestId });
    expect(await failureOf(call)).toMatchObject({ code: 'invalid_argument', reason: 'REQUEST_ID_REUSED' });
    expect(await titlesBy(author)).toEqual([]);
  });

  it('returns INVALID_ARGUMENT for one request_id twice, in whatever case', async () => {
    const requestId = uuidv4();
    const call = create({ post: aPost(), requestId }, { post: aPost(), requestId: requestId.toUpperCase() });
    const failure = { code: 'invalid_argument', reason: 'VALIDATION_FAILED', fields: ['requests[1].request_id'] };
    expect(await failureOf(call)).toMatchObject(failure);
  });

  it('gives 20 concurrent batches with the same request ids one result', async () => {
    const author = uuidv7();
    const requests = ['a', 'b', 'c', 'd'].map(title => ({ post: aPost({ title, author }), requestId: uuidv4() }));
    // In two orders, so that batches which wait for each other would wait for ever.
    const calls = Array.from({ length: 20 }, (_, n) =>
      n % 2 === 0 ? create(...requests) : create(...requests.toReversed()).then(posts => posts.toReversed()),
    );
    const results = await Promise.all(calls);
    expect(new Set(results.map(posts => JSON.stringify(posts, bigintAsText))).size).toBe(1);
    expect(await titlesBy(author)).toEqual(['a', 'b', 'c', 'd']);
  });

  it('tries all of them with validate_only, and writes nothing', async () => {
    const author = uuidv7();
    const posts = await create(
      { post: aPost({ title: 'a', author }), validateOnly: true },
      { post: aPost({ title: 'b', author }), validateOnly: true },
    );
    expect(posts.map(post => post.title)).toEqual(['a', 'b']);
    expect(await titlesBy(author)).toEqual([]);
  });

  it('finds with validate_only what the call would be refused for', async () => {
    const slug = aSlug();
    const call = create({ post: aPost({ slug }), validateOnly: true }, { post: aPost({ slug }), validateOnly: true });
    expect(await failureOf(call)).toMatchObject({ code: 'already_exists', metadata: { slug } });
  });

  it('returns INVALID_ARGUMENT where validate_only is set on some and not on others', async () => {
    const call = create({ post: aPost(), validateOnly: true }, { post: aPost() });
    const fields = ['requests[1].validate_only'];
    expect(await failureOf(call)).toMatchObject({ code: 'invalid_argument', fields });
  });

  it('takes a request of 4 MiB, and returns RESOURCE_EXHAUSTED for a larger one', async () => {
    const posts = [1, 2, 3].map(() => ({ post: aPost({ content: 'x'.repeat(MIB) }) }));
    expect(await create(...posts, { post: aPost({ content: 'x'.repeat(MIB - 1000) }) })).toHaveLength(4);
    const tooLarge = create(...posts, { post: aPost({ content: 'x'.repeat(MIB) }) });
    expect(await failureOf(tooLarge)).toMatchObject({ code: 'resource_exhausted', reason: 'MESSAGE_TOO_LARGE' });
  });
});

function bigintAsText(_: string, value: unknown): unknown {
  return typeof value === 'bigint' ? String(value) : value;
}
