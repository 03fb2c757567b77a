import { isUtf8 } from 'node:buffer';
import { create } from '@bufbuild/protobuf';
import { pathToString } from '@bufbuild/protobuf/reflect';
import { timestampDate, timestampFromDate } from '@bufbuild/protobuf/wkt';
import { createValidator } from '@bufbuild/protovalidate';
import { type Post, PostSchema } from '#gen/blog/v1/post_pb.js';
import {
  FRONT_MATTER_MAX_LENGTH,
  formatFrontMatter,
  PostFileError,
  parseDate,
  parseFrontMatter,
} from '#src/cli/front-matter.ts';

/** The most bytes of a file: of content, of front matter at 4 bytes a character, and of the fences. */
export const POST_FILE_MAX_BYTES = 1024 * 1024 + 4 * FRONT_MATTER_MAX_LENGTH + 16;

/**
 * The post in a Markdown file, without a slug, checked against the rules of post.proto.
 *
 * The front matter gives `title`, and `author` or `authors`; a list is joined with commas. `tags` is a list, or text with commas. `category` and
 * `categories` become further tags. `date` is the publish time, and `draft: true` means none. Other keys are ignored. The content is every
 * byte after the front matter. Only a byte order mark at the file's start is dropped.
 *
 * @throws PostFileError with every fault of the fields at once, each naming its field.
 */
export function parsePostFile(bytes: Uint8Array): Post {
  const { data, content } = parseFrontMatter(decode(bytes));
  const faults: string[] = [];
  const read = <T>(key: string, as: (value: unknown) => T, absent: T): T => {
    const value = data.get(key) ?? undefined;
    if (value === undefined) return absent;
    try {
      return as(value);
    } catch (error) {
      faults.push(`${key}: ${(error as Error).message}`);
      return absent;
    }
  };
  const isDraft = read('draft', toBoolean, false);
  const date = read('date', toDate, undefined);
  const post = create(PostSchema, {
    title: read('title', toText, ''),
    content,
    author: read('author', toTexts, undefined)?.join(', ') ?? read('authors', toTexts, []).join(', '),
    tags: [...new Set(['tags', 'category', 'categories'].flatMap(key => read(key, toTags, [])))].filter(Boolean),
    ...(date && !isDraft && { publishTime: timestampFromDate(date) }),
  });
  // A title that could not be read has its own error.
  const isTitleFaulty = faults.some(fault => fault.startsWith('title:'));
  faults.push(...brokenRules(post).filter(fault => !isTitleFaulty || fault !== TITLE_MISSING));
  if (faults.length > 0) throw new PostFileError(faults.join('; '));
  return post;
}

/**
 * The file of a post, with YAML front matter: `title`, then `author`, `tags` and `date` (to the millisecond) where the post
 * has them. parsePostFile makes of it a post with the same title, content, author, tags and publish time.
 */
export function formatPostFile({ title, content, author, tags, publishTime }: Post): string {
  const data = {
    title,
    ...(author !== '' && { author }),
    ...(tags.length > 0 && { tags }),
    ...(publishTime && { date: timestampDate(publishTime).toISOString() }),
  };
  return formatFrontMatter(data, content);
}

const validator = createValidator();
const TITLE_MISSING = 'title: is missing';

function decode(bytes: Uint8Array): string {
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff)) {
    throw new PostFileError('file: is UTF-16; save it as UTF-8');
  }
  if (!isUtf8(bytes)) throw new PostFileError(`file: is not UTF-8, line ${firstBrokenLine(bytes)}`);
  return new TextDecoder().decode(bytes);
}

/** A line feed is never part of another character in UTF-8, so that a broken file has a broken line. */
function firstBrokenLine(bytes: Uint8Array): number {
  let line = 1;
  for (let start = 0, end = 0; start < bytes.length; start = end, line++) {
    end = bytes.indexOf(0x0a, start) + 1 || bytes.length;
    if (!isUtf8(bytes.subarray(start, end))) break;
  }
  return line;
}

function brokenRules(post: Post): string[] {
  const { violations } = validator.validate(PostSchema, post);
  return (violations ?? []).map(({ field, message, ruleId }) => {
    // The only text that a rule forbids, and its message has the character itself.
    const what =
      ruleId === 'string.not_contains'
        ? 'has the character U+0000 in it'
        : ruleId === 'required'
          ? 'is missing'
          : message;
    return `${pathToString(field)}: ${what}`;
  });
}

function toText(value: unknown): string {
  if (typeof value === 'string') return value;
  if (['number', 'bigint', 'boolean'].includes(typeof value)) return String(value);
  throw new PostFileError(`must be a string, not ${Array.isArray(value) ? 'a list' : 'another type'}`);
}

function toTexts(value: unknown): string[] {
  const present = Array.isArray(value) ? value.filter(item => item !== null) : [value];
  return present.map(toText);
}

function toTags(value: unknown): string[] {
  return typeof value === 'string' ? value.split(',').map(tag => tag.trim()) : toTexts(value);
}

function toBoolean(value: unknown): boolean {
  const text = String(value).toLowerCase();
  if (text !== 'true' && text !== 'false') throw new PostFileError('must be true or false');
  return text === 'true';
}

function toDate(value: unknown): Date {
  const date = parseDate(value);
  if (date !== undefined) return date;
  const shown = typeof value === 'string' ? JSON.stringify(value.slice(0, 60)) : 'that';
  throw new PostFileError(`${shown} must be a date such as 2025-06-20 or 2025-06-20T15:00:00Z`);
}
