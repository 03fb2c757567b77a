import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileFailure } from '#src/cli/file-failure.ts';
import { fileFailureReason } from '#src/cli/file-failure.ts';
import { slugFromPath } from '#src/cli/slug-from-path.ts';

/** A file to import. */
export interface PostFile {
  /** Relative to the folder, with `/` between its parts on every system. */
  readonly path: string;
  readonly slug: string;
}

/**
 * The `.md`, `.mdx` and `.markdown` files of a folder and of all folders in it, in the order of their paths. Names that begin
 * with a dot are passed over, and so are `node_modules`. A link to a file is followed, a link to a folder is not.
 *
 * @returns also what can't be imported whatever is in it: a folder that can't be read, a link to a folder, a file that is none. So is each
 *   file whose path gives the same slug as one before it.
 * @throws the system's error where `dir` itself can't be read.
 */
export async function findPostFiles(dir: string): Promise<{ files: PostFile[]; failed: FileFailure[] }> {
  const failed: FileFailure[] = [];
  const paths: string[] = [];
  const visit = async (folder: string): Promise<void> => {
    for (const entry of await readdir(join(dir, folder), { withFileTypes: true })) {
      if (entry.name.startsWith('.') || entry.name === 'node_modules') continue;
      const path = folder === '' ? entry.name : `${folder}/${entry.name}`;
      try {
        if (entry.isDirectory()) await visit(path);
        else if (MARKDOWN.test(entry.name) || entry.isSymbolicLink()) await checkFile(path);
      } catch (error) {
        failed.push({ file: path, reason: fileFailureReason(error) });
      }
    }
  };
  const checkFile = async (path: string) => {
    if (!MARKDOWN.test(path)) {
      const target = await stat(join(dir, path)).catch(() => undefined);
      if (target?.isDirectory())
        failed.push({ file: path, reason: 'file: is a link to a folder, which is not followed' });
      return;
    }
    const target = await stat(join(dir, path));
    if (target.isFile()) paths.push(path);
    else failed.push({ file: path, reason: 'file: is no ordinary file' });
  };
  await visit('');
  return withSlugs(paths.sort(), failed);
}

const MARKDOWN = /\.(?:md|mdx|markdown)$/i;

function withSlugs(paths: readonly string[], failed: FileFailure[]): { files: PostFile[]; failed: FileFailure[] } {
  const bySlug = new Map<string, PostFile>();
  for (const path of paths) {
    const slug = slugFromPath(path);
    const first = bySlug.get(slug);
    if (first === undefined) bySlug.set(slug, { path, slug });
    else failed.push({ file: path, reason: `slug: "${slug}" is that of ${first.path} too; rename one of them` });
  }
  return { files: [...bySlug.values()], failed };
}
