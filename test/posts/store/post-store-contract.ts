import { v7 as uuidv7 } from 'uuid';
import { describe, expect, it } from 'vitest';
import type { Post } from '#src/posts/post.ts';
import type { NewPost, PostCursor, PostOrder, PostQuery, PostStore } from '#src/posts/post-store.ts';
import {
  EtagMismatchError,
  PostDeletedError,
  PostNotDeletedError,
  PostNotFoundError,
  PostsTooLargeError,
  RequestIdReusedError,
  SlugTakenError,
} from '#src/posts/post-store.ts';
import { aNewPost } from '#test/support/post-builder.ts';

/**
 * What every PostStore promises.
 *
 * @param store gives the store to test, which may hold other posts: each test makes its own, and lists by an author of
 *   its own.
 */
export function describePostStore(name: string, store: () => PostStore): void {
  const create = async (fields: Partial<NewPost> = {}) => {
    const [post] = await store().create([aNewPost(fields)], { validateOnly: false });
    if (post === undefined) throw new Error('nothing was created');
    return post;
  };
  const listAll = async (query: Partial<PostQuery>) => {
    const titles: string[] = [];
    let after: PostCursor | undefined;
    do {
      const page = await store().list({ ...ALL, limit: 2, ...query, after });
      titles.push(...page.posts.map(post => post.title));
      after = page.next;
    } while (after !== undefined);
    return titles;
  };
  const write = { validateOnly: false, etag: undefined };

  describe(`${name}: getById`, () => {
    it('returns every field as it was created', async () => {
      const fields = aNewPost({ title: 'Ünï ☃ 😀', content: 'a\r\nb\t"\'\\', tags: ['B', 'a', 'b'] });
      await store().create([fields], { validateOnly: false });
      const { request: _, slugIfTaken: __, ...content } = fields;
      expect(await store().getById(fields.id)).toMatchObject({
        ...content,
        deleteTime: undefined,
        purgeTime: undefined,
      });
    });

    it('returns undefined for an unknown id', async () => {
      expect(await store().getById(uuidv7())).toBeUndefined();
    });

    it.each(['0001-01-01T00:00:00.000Z', '1999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z'])(
      'keeps the publish time %s to the millisecond',
      async time => {
        const { id } = await create({ publishTime: new Date(time) });
        expect((await store().getById(id))?.publishTime?.toISOString()).toBe(time);
      },
    );

    it('returns a draft without a publish time', async () => {
      const { id } = await create({ publishTime: undefined });
      expect((await store().getById(id))?.publishTime).toBeUndefined();
    });
  });

  describe(`${name}: getBySlug`, () => {
    it('returns the live post rather than a deleted one', async () => {
      const slug = `s-${uuidv7()}`;
      const first = await create({ slug });
      await store().delete(first.id, undefined);
      const second = await create({ slug });
      expect((await store().getBySlug(slug))?.id).toBe(second.id);
    });

    it('returns the post that was deleted last where none is live', async () => {
      const slug = `s-${uuidv7()}`;
      const first = await create({ slug });
      await store().delete(first.id, undefined);
      const second = await create({ slug });
      await store().delete(second.id, undefined);
      expect((await store().getBySlug(slug))?.id).toBe(second.id);
    });

    it('returns undefined for an unknown slug', async () => {
      expect(await store().getBySlug('no-such-slug')).toBeUndefined();
    });
  });

  describe(`${name}: getMany`, () => {
    it('returns the posts that are there, deleted ones included', async () => {
      const [live, deleted] = [await create(), await create()];
      await store().delete(deleted.id, undefined);
      const posts = await store().getMany([live.id, deleted.id, uuidv7()], 1000);
      expect(posts.map(post => post.id).sort()).toEqual([live.id, deleted.id].sort());
    });

    it('returns posts whose content is just as large as allowed', async () => {
      const { id } = await create({ content: 'é'.repeat(50) });
      expect(await store().getMany([id], 100)).toHaveLength(1);
    });

    it('refuses posts that have more content together than allowed', async () => {
      const [a, b] = [await create({ content: 'x'.repeat(60) }), await create({ content: 'x'.repeat(60) })];
      await expect(store().getMany([a.id, b.id], 100)).rejects.toThrow(PostsTooLargeError);
    });
  });

  describe(`${name}: create`, () => {
    it('gives new posts one time, no deletion and an etag', async () => {
      const post = await create();
      expect(post.createTime).toEqual(post.updateTime);
      expect(post.deleteTime).toBeUndefined();
      expect(post).toEqual(await store().getById(post.id));
    });

    it('creates several posts in the order given', async () => {
      const posts = [aNewPost(), aNewPost(), aNewPost()].reverse();
      const created = await store().create(posts, { validateOnly: false });
      expect(created.map(post => post.id)).toEqual(posts.map(post => post.id));
    });

    it('refuses a slug that a live post has', async () => {
      const { slug } = await create();
      await expect(create({ slug })).rejects.toThrow(expect.objectContaining({ name: SlugTakenError.name, slug }));
    });

    it('creates none of several posts where one slug is taken', async () => {
      const { slug } = await create();
      const good = aNewPost();
      const batch = store().create([good, aNewPost({ slug })], { validateOnly: false });
      await expect(batch).rejects.toThrow(SlugTakenError);
      expect(await store().getById(good.id)).toBeUndefined();
    });

    it('refuses two posts with one slug in a batch', async () => {
      const slug = `s-${uuidv7()}`;
      const batch = store().create([aNewPost({ slug }), aNewPost({ slug })], { validateOnly: false });
      await expect(batch).rejects.toThrow(SlugTakenError);
    });

    it('takes the first slug that no live post has', async () => {
      const [{ slug }, { slug: second }] = [await create(), await create()];
      const third = `s-${uuidv7()}`;
      expect((await create({ slug, slugIfTaken: [second, third] })).slug).toBe(third);
    });

    it('takes the slug of a post that was deleted', async () => {
      const { id, slug } = await create();
      await store().delete(id, undefined);
      expect((await create({ slug, slugIfTaken: ['none'] })).slug).toBe(slug);
    });

    it('refuses a post where all of its slugs are taken', async () => {
      const [{ slug }, { slug: second }] = [await create(), await create()];
      await expect(create({ slug, slugIfTaken: [second] })).rejects.toThrow(SlugTakenError);
    });

    it('gives posts of a batch different slugs, and an explicit one to the post that names it', async () => {
      const slug = `s-${uuidv7()}`;
      const choices = [1, 2, 3].map(n => aNewPost({ slug, slugIfTaken: [`${slug}-${n}`] }));
      const batch = [...choices, aNewPost({ slug })];
      const created = await store().create(batch, { validateOnly: false });
      expect(created.map(post => post.slug)).toEqual([`${slug}-1`, `${slug}-2`, `${slug}-3`, slug]);
    });

    it('gives each of 50 concurrent calls a slug, and one of them the first', async () => {
      const slug = `s-${uuidv7()}`;
      const calls = Array.from({ length: 50 }, (_, n) => create({ slug, slugIfTaken: [`${slug}-${n}`] }));
      const slugs = (await Promise.all(calls)).map(post => post.slug);
      expect(new Set(slugs).size).toBe(50);
      expect(slugs).toContain(slug);
    });

    it('returns the first result for a repeated request id, even after the post was changed', async () => {
      const request = { id: uuidv7(), digest: new Uint8Array([1]) };
      const first = await create({ request });
      await store().update(first.id, { title: 'Changed' }, write);
      const { id: _, ...same } = aNewPost({ request, slug: first.slug });
      expect(await create(same)).toEqual(first);
    });

    it('refuses a repeated request id with another digest, and writes nothing', async () => {
      const id = uuidv7();
      await create({ request: { id, digest: new Uint8Array([1]) } });
      const other = aNewPost({ request: { id, digest: new Uint8Array([2]) } });
      await expect(store().create([other], { validateOnly: false })).rejects.toThrow(RequestIdReusedError);
      expect(await store().getById(other.id)).toBeUndefined();
    });

    it('creates none of a batch in which a request id comes again with another digest', async () => {
      const id = uuidv7();
      await create({ request: { id, digest: new Uint8Array([1]) } });
      const good = aNewPost();
      const reused = aNewPost({ request: { id, digest: new Uint8Array([2]) } });
      await expect(store().create([good, reused], { validateOnly: false })).rejects.toThrow(RequestIdReusedError);
      expect(await store().getById(good.id)).toBeUndefined();
    });

    it('keeps no request id of a post that was not created', async () => {
      const { slug } = await create();
      const request = { id: uuidv7(), digest: new Uint8Array([1]) };
      await expect(create({ slug, request })).rejects.toThrow(SlugTakenError);
      expect((await create({ request })).title).toBe('A title');
    });

    it('writes one post and gives one answer for 100 concurrent calls with one request id', async () => {
      const author = uuidv7();
      const request = { id: uuidv7(), digest: new Uint8Array([1]) };
      const results = await Promise.all(Array.from({ length: 100 }, () => create({ author, request, slug: author })));
      expect(new Set(results.map(post => JSON.stringify(post))).size).toBe(1);
      expect(await listAll({ author })).toHaveLength(1);
    });

    it('tries without writing', async () => {
      const post = aNewPost();
      const [tried] = await store().create([post], { validateOnly: true });
      expect(tried).toMatchObject({ slug: post.slug, title: post.title });
      expect(await store().getById(post.id)).toBeUndefined();
    });

    it('finds a taken slug when it only tries', async () => {
      const { slug } = await create();
      await expect(store().create([aNewPost({ slug })], { validateOnly: true })).rejects.toThrow(SlugTakenError);
    });
  });

  describe(`${name}: update`, () => {
    it('sets the given fields, and leaves the others', async () => {
      const post = await create();
      const updated = await store().update(post.id, { title: 'New', tags: [], publishTime: undefined }, write);
      expect(updated).toMatchObject({ slug: post.slug, content: post.content, title: 'New', tags: [] });
      expect(updated.publishTime).toBeUndefined();
      expect(updated).toEqual(await store().getById(post.id));
    });

    it('changes the etag, and keeps the create time', async () => {
      const post = await create();
      const updated = await store().update(post.id, { title: 'New' }, write);
      expect(updated.etag).not.toBe(post.etag);
      expect(updated.createTime).toEqual(post.createTime);
      expect(updated.updateTime.getTime()).toBeGreaterThanOrEqual(post.updateTime.getTime());
    });

    it('writes nothing where no field is given', async () => {
      const post = await create();
      expect(await store().update(post.id, {}, write)).toEqual(post);
    });

    it.each(['', 'nonsense', '1-zzzzzzzzzzzz', '99-abc'])('refuses the etag %j', async etag => {
      const { id } = await create();
      const update = store().update(id, { title: 'New' }, { validateOnly: false, etag });
      await expect(update).rejects.toThrow(EtagMismatchError);
    });

    it('lets one of 20 concurrent updates with the same etag through', async () => {
      const { id, etag } = await create();
      const updates = Array.from({ length: 20 }, (_, n) =>
        store().update(id, { title: `Title ${n}` }, { validateOnly: false, etag }),
      );
      const outcomes = await Promise.allSettled(updates);
      expect(outcomes.filter(outcome => outcome.status === 'fulfilled')).toHaveLength(1);
      const reasons = outcomes.flatMap(outcome => (outcome.status === 'rejected' ? [outcome.reason] : []));
      expect(reasons.every(reason => reason instanceof EtagMismatchError)).toBe(true);
    });

    it('refuses a slug that another live post has', async () => {
      const [taken, post] = [await create(), await create()];
      await expect(store().update(post.id, { slug: taken.slug }, write)).rejects.toThrow(SlugTakenError);
    });

    it('refuses an unknown post', async () => {
      await expect(store().update(uuidv7(), { title: 'New' }, write)).rejects.toThrow(PostNotFoundError);
    });

    it('refuses a deleted post', async () => {
      const { id } = await create();
      await store().delete(id, undefined);
      await expect(store().update(id, { title: 'New' }, write)).rejects.toThrow(PostDeletedError);
    });

    it('tries without writing', async () => {
      const post = await create();
      const tried = await store().update(post.id, { title: 'New' }, { validateOnly: true, etag: post.etag });
      expect(tried.title).toBe('New');
      expect(await store().getById(post.id)).toEqual(post);
    });
  });

  describe(`${name}: delete and undelete`, () => {
    it('marks a post as deleted, to be purged 30 days later', async () => {
      const { id } = await create();
      const { deleteTime, purgeTime } = await store().delete(id, undefined);
      expect(deleteTime).toBeInstanceOf(Date);
      expect((purgeTime?.getTime() ?? 0) - (deleteTime?.getTime() ?? 0)).toBe(30 * 24 * 3600 * 1000);
    });

    it('brings a post back as it was', async () => {
      const post = await create();
      await store().delete(post.id, undefined);
      const { etag: _, updateTime: __, ...same } = post;
      expect(await store().undelete(post.id, undefined)).toMatchObject(same);
    });

    it('refuses to delete twice', async () => {
      const { id } = await create();
      await store().delete(id, undefined);
      await expect(store().delete(id, undefined)).rejects.toThrow(PostDeletedError);
    });

    it('refuses to delete or undelete an unknown post', async () => {
      await expect(store().delete(uuidv7(), undefined)).rejects.toThrow(PostNotFoundError);
      await expect(store().undelete(uuidv7(), undefined)).rejects.toThrow(PostNotFoundError);
    });

    it('refuses to undelete a live post', async () => {
      const { id } = await create();
      await expect(store().undelete(id, undefined)).rejects.toThrow(PostNotDeletedError);
    });

    it('refuses another etag than the current one', async () => {
      const post = await create();
      const deleted = await store().delete(post.id, post.etag);
      await expect(store().undelete(post.id, post.etag)).rejects.toThrow(EtagMismatchError);
      expect((await store().undelete(post.id, deleted.etag)).deleteTime).toBeUndefined();
    });

    it('refuses to undelete a post whose slug is taken by now', async () => {
      const post = await create();
      await store().delete(post.id, undefined);
      await create({ slug: post.slug });
      await expect(store().undelete(post.id, undefined)).rejects.toThrow(
        expect.objectContaining({ name: SlugTakenError.name, slug: post.slug }),
      );
    });
  });

  describe(`${name}: list`, () => {
    const orders: PostOrder[] = (['createTime', 'updateTime', 'publishTime'] as const).flatMap(by => [
      { by, descending: true },
      { by, descending: false },
    ]);

    it.each(orders)('lists every post once in the order of $by, descending: $descending', async order => {
      const author = uuidv7();
      // Created in an order of their own, updated in another, two with equal publish times, and one draft.
      const posts = [
        await create({ author, title: 'a', publishTime: new Date('2026-01-03') }),
        await create({ author, title: 'b', publishTime: new Date('2026-01-01') }),
        await create({ author, title: 'c', publishTime: undefined }),
        await create({ author, title: 'd', publishTime: new Date('2026-01-01') }),
      ];
      const updated: Post[] = [];
      for (const n of [2, 0, 3, 1]) updated.push(await store().update(posts[n]?.id ?? '', { content: 'x' }, write));
      // Equal times are ordered by id, and drafts stand behind every publish time.
      const place = (post: Post) => `${(post[order.by] ?? new Date('9999-12-31')).toISOString()} ${post.id}`;
      const expected = updated.sort((a, b) => (place(a) < place(b) ? -1 : 1)).map(post => post.title);
      for (const tag of [undefined, 'two']) {
        expect(await listAll({ author, tag, order })).toEqual(order.descending ? expected.toReversed() : expected);
      }
    });

    it('filters by author and by tag, and by both', async () => {
      const [author, tag] = [uuidv7(), uuidv7()];
      await create({ author, title: 'both', tags: [tag, 'x'] });
      await create({ author, title: 'author' });
      await create({ title: 'tag', tags: [tag] });
      const order = { by: 'createTime', descending: false } as const;
      expect(await listAll({ author, order })).toEqual(['both', 'author']);
      expect(await listAll({ tag, order })).toEqual(['both', 'tag']);
      expect(await listAll({ author, tag, order })).toEqual(['both']);
    });

    it('follows a post to its new tags', async () => {
      const [before, after] = [uuidv7(), uuidv7()];
      const { id } = await create({ title: 'moved', tags: [before] });
      await store().update(id, { tags: [after] }, write);
      expect(await listAll({ tag: before })).toEqual([]);
      expect(await listAll({ tag: after })).toEqual(['moved']);
    });

    it.each(['draft', 'scheduled', 'published'] as const)('filters by the state %s, in every order', async state => {
      const author = uuidv7();
      await create({ author, title: 'draft', publishTime: undefined });
      await create({ author, title: 'scheduled', publishTime: new Date('9000-01-01') });
      await create({ author, title: 'published', publishTime: new Date('2020-01-01') });
      for (const order of orders) {
        expect(await listAll({ author, state, order })).toEqual([state]);
        expect(await listAll({ author, state, order, tag: 'two' })).toEqual([state]);
      }
    });

    it('leaves deleted posts out, unless they are asked for', async () => {
      const author = uuidv7();
      for (const title of ['a', 'b', 'c', 'd']) await create({ author, title });
      const { posts } = await store().list({ ...ALL, author, limit: 10 });
      for (const post of posts) if ('ac'.includes(post.title)) await store().delete(post.id, undefined);
      for (const tag of [undefined, 'one']) {
        expect(await listAll({ author, tag })).toEqual(['d', 'b']);
        expect(await listAll({ author, tag, showDeleted: true })).toEqual(['d', 'c', 'b', 'a']);
      }
    });

    it('passes over as many posts as it is told', async () => {
      const author = uuidv7();
      for (const title of ['a', 'b', 'c']) await create({ author, title });
      for (const showDeleted of [false, true]) {
        const page = await store().list({ ...ALL, author, showDeleted, skip: 1, limit: 1 });
        expect(page.posts.map(post => post.title)).toEqual(['b']);
        expect(page.next).toBeDefined();
        expect((await store().list({ ...ALL, author, showDeleted, skip: 3, limit: 1 })).posts).toEqual([]);
      }
    });

    it('says of the last page that it is the last, also when it is full', async () => {
      const author = uuidv7();
      for (const title of ['a', 'b']) await create({ author, title });
      expect((await store().list({ ...ALL, author, limit: 2 })).next).toBeUndefined();
    });

    it('reads no content, unless it is asked for', async () => {
      const author = uuidv7();
      await create({ author, content: 'text' });
      const [basic] = (await store().list({ ...ALL, author })).posts;
      const [full] = (await store().list({ ...ALL, author, maxContentBytes: 100 })).posts;
      expect([basic?.content, full?.content]).toEqual(['', 'text']);
    });

    it('ends a page before its content is larger than allowed, and loses none', async () => {
      const author = uuidv7();
      for (const title of ['a', 'b', 'c', 'd']) await create({ author, title, content: 'x'.repeat(60) });
      const first = await store().list({ ...ALL, author, limit: 4, maxContentBytes: 130 });
      expect(first.posts.map(post => post.title)).toEqual(['d', 'c']);
      expect(await listAll({ author, limit: 4, maxContentBytes: 130 })).toEqual(['d', 'c', 'b', 'a']);
    });

    it('gives a page that is to be whole, or none of it where its content is larger than allowed', async () => {
      const author = uuidv7();
      for (const title of ['a', 'b', 'c']) await create({ author, title, content: 'x'.repeat(60) });
      const whole = await store().list({ ...ALL, author, maxContentBytes: 180, isWhole: true });
      expect(whole.posts.map(({ title, content }) => [title, content.length])).toEqual([
        ['c', 60],
        ['b', 60],
        ['a', 60],
      ]);
      const tooLarge = store().list({ ...ALL, author, maxContentBytes: 179, isWhole: true });
      await expect(tooLarge).rejects.toBeInstanceOf(PostsTooLargeError);
    });

    it('gives a post that is larger than a page may be a page of its own', async () => {
      const author = uuidv7();
      for (const title of ['a', 'b']) await create({ author, title, content: 'x'.repeat(60) });
      expect(await listAll({ author, maxContentBytes: 10 })).toEqual(['b', 'a']);
    });
  });
}

const ALL: PostQuery = {
  author: undefined,
  tag: undefined,
  state: undefined,
  showDeleted: false,
  order: { by: 'createTime', descending: true },
  after: undefined,
  skip: 0,
  limit: 20,
  maxContentBytes: 0,
};
