import { execFileSync } from 'node:child_process';
import { symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findPostFiles } from '#src/cli/find-post-files.ts';
import { aFolderOf } from '#test/support/folder-of-files.ts';

describe('findPostFiles', () => {
  it('finds Markdown files in all folders, in the order of their paths', async () => {
    await using folder = await aFolderOf({
      'b/c.mdx': '',
      'b.md': '',
      'a.MD': '',
      'b/a/x.markdown': '',
      'd.txt': '',
      LICENSE: '',
      md: '',
    });
    expect(await findPostFiles(folder.path)).toEqual({
      files: [
        { path: 'a.MD', slug: 'a' },
        { path: 'b.md', slug: 'b' },
        { path: 'b/a/x.markdown', slug: 'b-a-x' },
        { path: 'b/c.mdx', slug: 'b-c' },
      ],
      failed: [],
    });
  });

  it('passes over hidden files and node_modules', async () => {
    await using folder = await aFolderOf({ '.git/a.md': '', '.b.md': '', 'node_modules/x/README.md': '', 'c.md': '' });
    expect((await findPostFiles(folder.path)).files).toEqual([{ path: 'c.md', slug: 'c' }]);
  });

  it('names the second of two files with one slug', async () => {
    await using folder = await aFolderOf({ 'a/b.md': '', 'a-b.md': '', 'A/B.md': '' });
    expect(await findPostFiles(folder.path)).toEqual({
      files: [{ path: 'A/B.md', slug: 'a-b' }],
      failed: [
        { file: 'a-b.md', reason: 'slug: "a-b" is that of A/B.md too; rename one of them' },
        { file: 'a/b.md', reason: 'slug: "a-b" is that of A/B.md too; rename one of them' },
      ],
    });
  });

  it('follows a link to a file, and names those that it does not follow', async () => {
    await using folder = await aFolderOf({ 'a.md': '', 'sub/b.md': '' });
    await symlink('a.md', join(folder.path, 'link.md'));
    await symlink('..', join(folder.path, 'sub', 'circle'));
    await symlink('nowhere', join(folder.path, 'broken.md'));
    const { files, failed } = await findPostFiles(folder.path);
    expect(files.map(file => file.path)).toEqual(['a.md', 'link.md', 'sub/b.md']);
    expect(failed).toEqual(
      expect.arrayContaining([
        { file: 'broken.md', reason: 'file: no such file or folder' },
        { file: 'sub/circle', reason: 'file: is a link to a folder, which is not followed' },
      ]),
    );
    expect(failed).toHaveLength(2);
  });

  it('does not wait for a pipe', async () => {
    await using folder = await aFolderOf({});
    execFileSync('mkfifo', [join(folder.path, 'pipe.md')]);
    expect(await findPostFiles(folder.path)).toEqual({
      files: [],
      failed: [{ file: 'pipe.md', reason: 'file: must be a regular file' }],
    });
  });

  it('refuses a folder that is none', async () => {
    await using folder = await aFolderOf({ 'a.md': '' });
    await expect(findPostFiles(join(folder.path, 'b'))).rejects.toThrow('ENOENT');
    await expect(findPostFiles(join(folder.path, 'a.md'))).rejects.toThrow('ENOTDIR');
  });
});
