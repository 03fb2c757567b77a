/** The most characters of a slug. */
export const SLUG_MAX_LENGTH = 200;

/**
 * Derives a slug from a title: accents are dropped, every run of other characters becomes one hyphen, and a long one is
 * cut between words where it has any.
 *
 * @returns the slug, or an empty string where the title has no letter or digit to make one from.
 */
export function slugify(title: string): string {
  const words = title
    .normalize('NFKD')
    .replace(/\p{Mark}+/gu, '')
    .toLowerCase()
    .replace(/['’]/g, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  if (words.length <= SLUG_MAX_LENGTH) return words;
  const end = words.lastIndexOf('-', SLUG_MAX_LENGTH);
  return words.slice(0, end > 0 ? end : SLUG_MAX_LENGTH);
}
