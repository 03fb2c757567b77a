import { type Post, postFields } from '#src/posts/post.ts';
import type { NewPost } from '#src/posts/post-store.ts';

/**
 * The maximum size of a protobuf response in bytes. gRPC clients accept up to 4 MiB (4,194,304 bytes) by default.
 */
export const RESPONSE_MAX_BYTES = 4 * 1024 * 1024 - 1;

/** The response would exceed RESPONSE_MAX_BYTES. */
export class ResponseTooLargeError extends Error {
  override readonly name = 'ResponseTooLargeError';

  /** @param advice what the caller can do. */
  constructor(advice: string) {
    super(`the response would exceed ${RESPONSE_MAX_BYTES} bytes: ${advice}`);
  }
}

/** How many of these posts, counted from the first, fit into `maxBytes` of a response. */
export function countFitting(posts: readonly Post[], maxBytes: number): number {
  // A UTF-16 unit has at most three bytes of UTF-8. This estimate is cheap and nearly always enough.
  if (posts.reduce((sum, post) => sum + roughSize(post), 0) <= maxBytes) return posts.length;
  let bytes = 0;
  for (const [count, post] of posts.entries()) {
    bytes += encodedSize(post);
    if (bytes > maxBytes) return count;
  }
  return posts.length;
}

/** The bytes of a post in a repeated field of a protobuf response, with tag and length. */
export function encodedSize(post: Post): number {
  return fieldSize(postFields.reduce((sum, [name]) => sum + valueSize(post[name]), 0));
}

/** The maximum `encodedSize` of a post after its creation. */
export function createdSize(post: NewPost): number {
  const { createTime, etag } = LATEST;
  return encodedSize({
    ...post,
    slug: longest([post.slug, ...post.slugIfTaken]),
    createTime,
    updateTime: createTime,
    deleteTime: undefined,
    purgeTime: undefined,
    etag,
  });
}

function longest(texts: readonly string[]): string {
  return texts.reduce((most, text) => (Buffer.byteLength(text) > Buffer.byteLength(most) ? text : most), '');
}

function roughSize(post: Post): number {
  return postFields.reduce((sum, [name]) => sum + roughValueSize(post[name]), OTHERS_SIZE);
}

function roughValueSize(value: Post[keyof Post]): number {
  if (value === undefined || value instanceof Date) return 0;
  return typeof value === 'string' ? 3 * value.length : value.reduce((sum, text) => sum + 3 + 3 * text.length, 0);
}

function valueSize(value: Post[keyof Post]): number {
  if (value === undefined || value instanceof Date) return timeSize(value);
  if (typeof value === 'string') return textSize(value);
  return value.reduce((sum, text) => sum + fieldSize(Buffer.byteLength(text)), 0);
}

/** Empty text is left out. */
function textSize(text: string): number {
  return text === '' ? 0 : fieldSize(Buffer.byteLength(text));
}

/** google.protobuf.Timestamp: seconds, which have ten bytes where they are negative, and nanoseconds; 0 is left out. */
function timeSize(time: Date | undefined): number {
  if (time === undefined) return 0;
  const seconds = Math.floor(time.getTime() / 1000);
  const nanos = (time.getTime() - seconds * 1000) * 1_000_000;
  const secondsSize = seconds === 0 ? 0 : 1 + (seconds < 0 ? 10 : varintSize(seconds));
  return fieldSize(secondsSize + (nanos === 0 ? 0 : 1 + varintSize(nanos)));
}

/** With its length, and its tag, which is one byte for field numbers up to 15. */
function fieldSize(size: number): number {
  return 1 + varintSize(size) + size;
}

function varintSize(value: number): number {
  let size = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) size++;
  return size;
}

/** More than the times, and the tags and lengths of all fields, take. */
const OTHERS_SIZE = 256;
/** As long as any value of the next centuries. */
const LATEST = { createTime: new Date(253_402_300_799_999), etag: '1-zzzzzzzzz' } as const;
