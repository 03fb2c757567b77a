import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { timestampDate } from '@bufbuild/protobuf/wkt';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { importPosts } from '#src/cli/import.ts';
import { connectTo, ServiceLostError } from '#src/cli/service-calls.ts';
import { aFolderOf } from '#test/support/folder-of-files.ts';
import { startTcpProxy } from '#test/support/tcp-proxy.ts';
import { startTestService, type TestService } from '#test/support/test-service.ts';

const FIXTURES = new URL('../fixtures/posts', import.meta.url).pathname;

let service: TestService;
beforeAll(async () => {
  service = await startTestService();
});
afterAll(() => service?.[Symbol.asyncDispose]());

const getPost = async (slug: string) => {
  const { post } = await service.client.getPost({ key: { case: 'slug', value: slug } });
  if (post === undefined) throw new Error('no post in the answer');
  return post;
};
const run = (dir: string, options: Partial<Parameters<typeof importPosts>[0]> = {}) =>
  importPosts({ dir, client: service.client, ...options });
const aFile = (title: string, content = '') => `---\ntitle: "${title}"\n---\n${content}`;
const ENDED = { notTried: 0, stoppedBy: undefined };

describe('importPosts', () => {
  it('creates a post of every file, and changes nothing when it is repeated', async () => {
    expect(await run(FIXTURES)).toEqual({ created: 21, updated: 0, unchanged: 0, failed: [], ...ENDED });
    const post = await getPost('announcements-mikeal');
    expect(post).toMatchObject({
      title: 'In Memory of Mikeal Rogers: A Builder of Communities',
      author: 'Robin Bender Ginn',
      tags: ['announcements'],
      content: expect.stringMatching(/^\n!\[\]\[mikeal-rogers-image\]\n/),
    });
    expect(post.publishTime && timestampDate(post.publishTime).toISOString()).toBe('2025-06-20T15:00:00.000Z');

    expect(await run(FIXTURES)).toEqual({ created: 0, updated: 0, unchanged: 21, failed: [], ...ENDED });
    expect(await getPost('announcements-mikeal')).toEqual(post);
  });

  it('updates each field that changed in the file, and no other post', async () => {
    const before = '---\ntitle: T\nauthor: A\ntags: [a, b]\ndate: 2025-01-02\n---\nText';
    await using folder = await aFolderOf({ 'changing.md': before, 'same.md': aFile('Same') });
    await run(folder.path);
    for (const [from, to] of [
      ['T', 'U'],
      ['author: A', 'author: B'],
      ['[a, b]', '[b, a]'],
      ['2025-01-02', '2025-01-02T00:00:00.001Z'],
      ['Text', 'Text\n'],
      ['date: 2025-01-02\n', ''],
    ] as const) {
      await writeFile(join(folder.path, 'changing.md'), before.replace(from, to));
      expect(await run(folder.path)).toMatchObject({ created: 0, updated: 1, unchanged: 1, failed: [] });
      expect(await run(folder.path)).toMatchObject({ updated: 0, unchanged: 2 });
    }
    expect((await getPost('changing')).publishTime).toBeUndefined();
  });

  it('creates a deleted post again', async () => {
    await using folder = await aFolderOf({ 'deleted.md': aFile('Deleted') });
    await run(folder.path);
    const { id } = await getPost('deleted');
    await service.client.deletePost({ id });
    expect(await run(folder.path)).toMatchObject({ created: 1, failed: [] });
    expect((await getPost('deleted')).id).not.toBe(id);
  });

  it('names each file that fails with its reason, and goes on with the rest', async () => {
    await using folder = await aFolderOf({
      'a-good.md': aFile('Good'),
      'b-none.md': '# No front matter\n',
      'c-latin1.md': Buffer.from(aFile('caf\xe9'), 'latin1'),
      'd-large.md': aFile('Large', 'x'.repeat(1024 * 1024 + 1)),
      'e-huge.md': Buffer.alloc(8 * 1024 * 1024, 'x'),
      'f-title.md': aFile('x'.repeat(256)),
      'g-good.md': aFile('Good too'),
      'g/good.md': aFile('The same slug'),
    });
    expect(await run(folder.path, { concurrency: 2 })).toEqual({
      created: 2,
      updated: 0,
      unchanged: 0,
      failed: [
        { file: 'b-none.md', reason: expect.stringMatching(/^front matter: is missing/) },
        { file: 'c-latin1.md', reason: 'file: is not UTF-8, line 2' },
        { file: 'd-large.md', reason: 'content: must be at most 1048576 bytes' },
        { file: 'e-huge.md', reason: 'content: the file has 8388608 bytes; content may have 1 MiB (1048576 bytes)' },
        { file: 'f-title.md', reason: 'title: must be at most 255 characters' },
        { file: 'g/good.md', reason: 'slug: "g-good" is that of g-good.md too; rename one of them' },
      ],
      ...ENDED,
    });
  });

  it('brings content of every kind in, byte for byte', async () => {
    const contents = [
      '',
      '\n',
      '\r\n\r\na\r\n',
      '---\ntitle: no\n---\n',
      '\uFEFFx',
      'no end',
      '<script>\t\u0001</script>',
      '😀'.repeat(262_144),
    ];
    const files = Object.fromEntries(contents.map((content, index) => [`exact/${index}.md`, aFile('Exact', content)]));
    await using folder = await aFolderOf(files);
    expect(await run(folder.path)).toMatchObject({ created: contents.length, failed: [] });
    for (const [index, content] of contents.entries()) expect((await getPost(`exact-${index}`)).content).toBe(content);
  });

  it('writes nothing in a dry run, and says what it would do', async () => {
    await using folder = await aFolderOf({
      'dry-new.md': aFile('New'),
      'dry-old.md': aFile('Old'),
      'dry-same.md': aFile('Same'),
    });
    await using old = await aFolderOf({ 'dry-old.md': aFile('Older'), 'dry-same.md': aFile('Same') });
    await run(old.path);
    expect(await run(folder.path, { dryRun: true })).toEqual({
      created: 1,
      updated: 1,
      unchanged: 1,
      failed: [],
      ...ENDED,
    });
    await expect(getPost('dry-new')).rejects.toThrow('not_found');
    expect((await getPost('dry-old')).title).toBe('Older');
  });

  it('makes one post of each file when two imports run at once', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 50 }, (_, index) => [`${index}.md`, aFile(`Twice ${index}`)]),
    );
    await using folder = await aFolderOf({ ...files });
    const both = await Promise.all([run(folder.path), run(folder.path)]);
    expect(both.map(summary => summary.failed)).toEqual([[], []]);
    expect(both[0].created + both[1].created).toBe(50);
    expect(both[0].unchanged + both[1].unchanged).toBe(50);
  });

  it('says how far it is', async () => {
    await using folder = await aFolderOf({ 'p1.md': aFile('1'), 'p2.md': aFile('2'), 'p3.md': 'bad' });
    const seen: string[] = [];
    await run(folder.path, {
      concurrency: 1,
      onProgress: ({ done, total, failed, current }) => seen.push(`${done}/${total} ${failed} ${current}`),
    });
    expect(seen).toEqual(['0/3 0 p1.md', '1/3 0 p1.md', '1/3 0 p2.md', '2/3 0 p2.md', '2/3 0 p3.md', '3/3 1 p3.md']);
  });

  it('stops when the signal says so, and goes on when it is run again', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 20 }, (_, index) => [`stop-${index}.md`, aFile(`Stop ${index}`)]),
    );
    await using folder = await aFolderOf(files);
    const stop = new AbortController();
    const summary = await run(folder.path, {
      concurrency: 2,
      signal: stop.signal,
      onProgress: ({ done }) => done === 5 && stop.abort('SIGINT'),
    });
    expect(summary.stoppedBy).toBe('SIGINT');
    expect(summary.failed).toEqual([]);
    expect(summary.created).toBeGreaterThanOrEqual(5);
    expect(summary.notTried).toBe(20 - summary.created);
    expect(summary.notTried).toBeGreaterThan(0);
    expect(await run(folder.path)).toMatchObject({ failed: [], ...ENDED });
  });
});

describe('importPosts over a network that fails', () => {
  it('loses and doubles nothing when connections are reset in the middle', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 60 }, (_, index) => [`reset-${index}.md`, aFile(`Reset ${index}`)]),
    );
    await using folder = await aFolderOf(files);
    await using proxy = await startTcpProxy({ host: '127.0.0.1', port: Number(new URL(service.url).port) });
    using connection = connectTo(proxy.through(service.url), 8);
    let resets = 0;
    const summary = await importPosts({
      dir: folder.path,
      client: connection.client,
      concurrency: 8,
      onProgress: ({ done }) => {
        if (done > 0 && done % 10 === 0) resets += proxy.reset();
      },
    });
    expect(resets).toBeGreaterThan(0);
    expect(summary).toEqual({ created: 60, updated: 0, unchanged: 0, failed: [], ...ENDED });
    expect(await run(folder.path)).toMatchObject({ unchanged: 60 });
  });

  it('ends with one reason when the service is lost on the way', async () => {
    const files = Object.fromEntries(
      Array.from({ length: 30 }, (_, index) => [`lost-${index}.md`, aFile(`Lost ${index}`)]),
    );
    await using folder = await aFolderOf(files);
    await using parts = new AsyncDisposableStack();
    const proxy = parts.use(await startTcpProxy({ host: '127.0.0.1', port: Number(new URL(service.url).port) }));
    using connection = connectTo(proxy.through(service.url), 2);
    const summary = await importPosts({
      dir: folder.path,
      client: connection.client,
      concurrency: 2,
      attempts: 2,
      onProgress: ({ done }) => {
        if (done === 10) void parts.disposeAsync();
      },
    });
    expect(summary.stoppedBy).toBeInstanceOf(ServiceLostError);
    expect(String(summary.stoppedBy)).toMatch(/can't be reached \(connection (refused|closed)\)$/);
    expect(summary.failed).toEqual([]);
    expect(summary.notTried).toBe(30 - summary.created);
    expect(summary.notTried).toBeGreaterThan(10);
  });
});
