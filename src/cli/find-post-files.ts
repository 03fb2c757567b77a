import { createHash } from 'node:crypto';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileFailure } from '#src/cli/file-failure.ts';
import { fileFailureReason } from '#src/cli/file-failure.ts';
import { asciiSlug, SLUG_MAX_LENGTH } from '#src/posts/slug.ts';

/** A file to import. */
export interface PostFile {
  /** Relative to the folder, with `/` between its parts on every system. */
  readonly path: string;
  readonly slug: string;
}

/**
 * Finds the `.md`, `.mdx` and `.markdown` files of a folder and of all folders in it, in the order of their paths. It ignores `node_modules`
 * and names that begin with a dot. It follows a link to a file, but not to a folder.
 *
 * @returns also what cannot be imported: an unreadable folder, a link to a folder, a path that is not a file, and a file with the slug of an
 *   earlier one.
 * @throws the system's error if `dir` itself cannot be read.
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
    else failed.push({ file: path, reason: 'file: must be a regular file' });
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

/**
 * The slug of the post in a file, from the file's path alone, so that importing it again finds the same post:
 * `announcements/mikeal.md` → `announcements-mikeal`. A path that is a slug already stays as it is; otherwise accents
 * are dropped, capitals lowered, and every run of other characters becomes one hyphen. Where that loses letters or digits
 * (`日本語.md`) or is over 200 characters, eight hex digits of the path's SHA-256 are put behind it, to tell it from others.
 *
 * @param path relative to the imported folder, with `/` between its parts and with its extension.
 */
export function slugFromPath(path: string): string {
  const stem = path.replace(/\.[^./]+$/, '').normalize('NFC');
  const joined = stem.replaceAll('/', '-');
  if (/^[a-z0-9-]+$/.test(joined) && joined.length <= SLUG_MAX_LENGTH) return joined;
  const slug = asciiSlug(joined);
  const isWhole = joined.length <= SLUG_MAX_LENGTH && !/(?![a-z0-9])[\p{L}\p{N}]/iu.test(joined.normalize('NFKD'));
  if (isWhole && slug !== '') return slug;
  const hash = createHash('sha256').update(stem).digest('hex').slice(0, HASH_LENGTH);
  return [slug.slice(0, SLUG_MAX_LENGTH - HASH_LENGTH - 1).replace(/-$/, ''), hash].filter(Boolean).join('-');
}

const HASH_LENGTH = 8;
