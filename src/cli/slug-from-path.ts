import { createHash } from 'node:crypto';
import { asciiSlug, SLUG_MAX_LENGTH } from '#src/posts/slug.ts';

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
