import { randomUUID } from 'node:crypto';

/** The most characters of a slug. */
export const SLUG_MAX_LENGTH = 200;

/**
 * Makes an ASCII slug. It drops accents, replaces each run of other characters by a hyphen, and cuts a long slug between
 * words if it can.
 *
 * @returns the slug, or an empty string if the text has no letter or digit.
 */
export function asciiSlug(text: string): string {
  const words = foldAccents(text)
    .toLowerCase()
    .replace(/['’]/g, '')
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
  return cutSlug(words, SLUG_MAX_LENGTH);
}

/** The slug that a post asks for. */
export interface SlugChoice {
  readonly slug: string;
  /** Slugs to try, in order, if a live post has that one. Without any, the write fails. */
  readonly slugIfTaken: readonly string[];
}

/**
 * The slug as sent, or one derived from the title if it is empty. A derived slug never fails: if it is taken, the end of
 * the post's id follows it. A title without a letter or digit gives the id.
 */
export async function chooseSlug(slug: string, title: string, id: string): Promise<SlugChoice> {
  if (slug !== '') return { slug, slugIfTaken: [] };
  const derived = await deriveSlug(title);
  // Random, so nobody has taken it.
  const last = randomUUID();
  if (derived === '') return { slug: id, slugIfTaken: [last] };
  const others = SUFFIX_LENGTHS.map(length => `${cutSlug(derived, SLUG_MAX_LENGTH - length - 1)}-${id.slice(-length)}`);
  return { slug: derived, slugIfTaken: [...others, last] };
}

/**
 * Derives a slug from a title: `Łódź` becomes `lodz`, `Урок 1` `urok-1`, `你好` `ni-hao`, `C++` `c-plus-plus`. Symbols and emoji are dropped.
 *
 * @returns the slug, or an empty string if the title has no letter or digit.
 */
export async function deriveSlug(title: string): Promise<string> {
  const named = title
    .replace(/(?<=[a-z])\+\+(?!\+)/gi, '-plus-plus-')
    .replace(/(?<![\p{L}\p{N}])([a-z])#/giu, '$1-sharp-');
  return asciiSlug(OTHER_LETTERS.test(foldAccents(named)) ? await romanize(named) : named);
}

/** Loads its tables on first use: they take 15 ms and some MB. */
async function romanize(title: string): Promise<string> {
  const { default: anyAscii } = await import('any-ascii');
  const toLetters = (letters: string) => anyAscii(letters).replace(/[^a-z0-9/ ]+/gi, '');
  return (
    title
      .normalize('NFKC')
      // Each is a syllable.
      .replace(/\p{Script=Han}/gu, sign => ` ${toLetters(sign)} `)
      .replace(/(?:(?!\p{ASCII})[\p{L}\p{M}\p{N}])+/gu, toLetters)
  );
}

/** `e` for `é`, `fi` for `ﬁ`. */
function foldAccents(text: string): string {
  return text.normalize('NFKD').replace(/\p{Mark}+/gu, '');
}

/** Cuts a slug to `maxLength` characters, between words if it has several. */
function cutSlug(slug: string, maxLength: number): string {
  if (slug.length <= maxLength) return slug;
  const end = slug.lastIndexOf('-', maxLength);
  return slug.slice(0, end > 0 ? end : maxLength);
}

const OTHER_LETTERS = /(?!\p{ASCII})[\p{L}\p{N}]/u;
/** Of the random end of a UUIDv7, in hex digits: one of 16 million is short, and one of 10^14 is never taken. */
const SUFFIX_LENGTHS = [6, 12];
