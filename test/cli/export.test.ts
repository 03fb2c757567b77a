import { mkdir, readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import { createClient, createRouterTransport } from '@connectrpc/connect';
import { beforeEach, describe, expect, it } from 'vitest';
import { type Post, PostSchema } from '#gen/blog/v1/post_pb.js';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { exportPosts } from '#src/cli/export.ts';
import { importPosts } from '#src/cli/import.ts';
import { aFolderOf, filesOf } from '#test/support/folder-of-files.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

let service: TestService;
beforeEach(async () => {
  service = await startTestService();
  return () => service[Symbol.asyncDispose]();
});

const createPost = (post: Parameters<typeof create<typeof PostSchema>>[1]) =>
  service.client.createPost({ post: create(PostSchema, post) });
const run = (dir: string) => exportPosts({ dir, client: service.client });

describe('exportPosts', () => {
  it('writes every live post to a file named by its slug', async () => {
    await createPost({
      slug: 'a',
      title: 'A',
      content: 'Text',
      publishTime: timestampFromDate(new Date('2025-01-02T03:04:05.678Z')),
    });
    await createPost({ slug: 'b', title: 'B' });
    const { post } = await createPost({ slug: 'c', title: 'C' });
    await service.client.deletePost({ id: post?.id ?? '' });
    await using folder = await aFolderOf({});
    const dir = join(folder.path, 'new', 'folder');
    expect(await run(dir)).toEqual({ written: 2, unchanged: 0, failed: [], stoppedBy: undefined });
    expect(await filesOf(dir)).toEqual({
      'a.md': '---\ntitle: "A"\ndate: "2025-01-02T03:04:05.678Z"\n---\nText',
      'b.md': '---\ntitle: "B"\n---\n',
    });
  });

  it('replaces files of the same name that differ, and leaves all others alone', async () => {
    await createPost({ slug: 'a', title: 'A' });
    await createPost({ slug: 'b', title: 'B' });
    await using folder = await aFolderOf({
      'a.md': 'something else',
      'b.md': '---\ntitle: "B"\n---\n',
      'notes.md': 'mine',
    });
    expect(await run(folder.path)).toMatchObject({ written: 1, unchanged: 1, failed: [] });
    expect(await filesOf(folder.path)).toEqual({
      'a.md': '---\ntitle: "A"\n---\n',
      'b.md': '---\ntitle: "B"\n---\n',
      'notes.md': 'mine',
    });
  });

  it('replaces a link, and not the file that it leads to', async () => {
    await createPost({ slug: 'a', title: 'A' });
    await using folder = await aFolderOf({ 'elsewhere.txt': 'mine' });
    await symlink('elsewhere.txt', join(folder.path, 'a.md'));
    expect(await run(folder.path)).toMatchObject({ written: 1 });
    expect(await filesOf(folder.path)).toEqual({ 'a.md': '---\ntitle: "A"\n---\n', 'elsewhere.txt': 'mine' });
  });

  it('names what it cannot write, leaves nothing behind and goes on', async () => {
    await createPost({ slug: 'a', title: 'A' });
    await createPost({ slug: 'b', title: 'B' });
    await using folder = await aFolderOf({});
    await mkdir(join(folder.path, 'a.md'));
    await writeFile(join(folder.path, 'a.md', 'x'), '');
    expect(await run(folder.path)).toMatchObject({ written: 1, failed: [{ file: 'a', reason: 'file: is a folder' }] });
    expect((await readdir(folder.path)).sort()).toEqual(['a.md', 'b.md']);
  });

  it('writes no file outside the folder, whatever a server calls its posts', async () => {
    const hostile = ['../out', '/tmp/out', 'a/b', '..', '.', '', 'a\0b', 'C:x', 'x'.repeat(201), 'UPPER'];
    const posts = hostile.map(slug => create(PostSchema, { slug, title: 'T' }));
    // Our own service never stores such a slug: this one is not ours.
    const transport = createRouterTransport(({ service }) => service(PostService, { listPosts: () => ({ posts }) }));
    await using folder = await aFolderOf({});
    const summary = await exportPosts({ dir: folder.path, client: createClient(PostService, transport) });
    expect(summary.failed.map(({ file }) => file)).toEqual(hostile);
    expect(summary.written).toBe(0);
    expect(await readdir(folder.path)).toEqual([]);
  });

  it('writes what importPosts makes equal posts of, in an empty database', async () => {
    const publishTime = (iso: string) => timestampFromDate(new Date(iso));
    await importPosts({ dir: new URL('../fixtures/posts', import.meta.url).pathname, client: service.client });
    await createPost({
      slug: 'odd-',
      title: ' "A": \n# b\u2028',
      author: '\t~',
      tags: ['1.0', 'true', ' x ', 'a, b'],
      content: '---\r\n',
    });
    await createPost({
      slug: '--',
      title: 'null',
      publishTime: publishTime('0001-01-01T00:00:00.000Z'),
      content: '\uFEFF\n\n',
    });
    await createPost({
      slug: 'x'.repeat(200),
      title: '2024-01-02',
      publishTime: publishTime('9999-12-31T23:59:59.999Z'),
    });
    await createPost({ slug: 'large', title: '😀'.repeat(255), content: '\\'.repeat(1024 * 1024) });
    for (let index = 0; index < 100; index++) await createPost({ slug: `p${index}`, title: 'One of more than a page' });
    await using folder = await aFolderOf({});
    expect(await run(folder.path)).toMatchObject({ written: 125, failed: [] });

    await using other = await startTestService();
    expect(await importPosts({ dir: folder.path, client: other.client })).toMatchObject({ created: 125, failed: [] });
    expect(await contentsOf(other)).toEqual(await contentsOf(service));
  });
});

/** What authors set, of every post, by slug. */
async function contentsOf({ client }: TestService): Promise<Record<string, Partial<Post>>> {
  const posts: Post[] = [];
  let pageToken = '';
  do {
    const page = await client.listPosts({ view: 2, pageSize: 100, pageToken });
    posts.push(...page.posts);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return Object.fromEntries(
    posts.map(({ slug, title, content, author, tags, publishTime }) => [
      slug,
      { title, content, author, tags, publishTime },
    ]),
  );
}
