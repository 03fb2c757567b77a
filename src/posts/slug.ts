/** The most characters of a slug. */
export const SLUG_MAX_LENGTH = 200;

/**
 * Makes a slug of ASCII: accents are dropped, every run of other characters becomes one hyphen, and a long one is cut between words where
 * it has any.
 *
 * @returns the slug, or an empty string where the text has no letter or digit to make one from.
 */
export function asciiSlug(text: string): string {
  const words = foldAccents(text)
    .toLowerCase()
    .replace(/['’]/g, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  return cutSlug(words, SLUG_MAX_LENGTH);
}

/** `e` for `é`, `fi` for `ﬁ`. */
export function foldAccents(text: string): string {
  return text.normalize('NFKD').replace(/\p{Mark}+/gu, '');
}

/** Cuts between words, where there is more than one, so that it has no more characters than this. */
export function cutSlug(slug: string, maxLength: number): string {
  if (slug.length <= maxLength) return slug;
  const end = slug.lastIndexOf('-', maxLength);
  return slug.slice(0, end > 0 ? end : maxLength);
}
