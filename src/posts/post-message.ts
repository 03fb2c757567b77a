import { create } from '@bufbuild/protobuf';
import { type Timestamp, TimestampSchema } from '@bufbuild/protobuf/wkt';
import { type Post as PostMessage, PostSchema } from '#gen/blog/v1/post_pb.js';
import { invalidField } from '#src/posts/invalid-argument-error.ts';
import type { Post, PostContent } from '#src/posts/post.ts';

/** The message for a post. */
export function toMessage(post: Post): PostMessage {
  return create(PostSchema, {
    id: post.id,
    slug: post.slug,
    title: post.title,
    content: post.content,
    author: post.author,
    tags: [...post.tags],
    publishTime: toTimestamp(post.publishTime),
    createTime: toTimestamp(post.createTime),
    updateTime: toTimestamp(post.updateTime),
    deleteTime: toTimestamp(post.deleteTime),
    purgeTime: toTimestamp(post.purgeTime),
    etag: post.etag,
  });
}

/**
 * What a message says of the fields that authors set.
 *
 * @param field the message's place in the request, for errors.
 * @throws InvalidArgumentError for text that Unicode does not allow, and for times outside the years 1 to 9999.
 */
export function toContent(message: PostMessage, field: string): PostContent {
  for (const name of ['slug', 'title', 'content', 'author'] as const) {
    requireWellFormed(message[name], `${field}.${name}`);
  }
  for (const [index, tag] of message.tags.entries()) requireWellFormed(tag, `${field}.tags[${index}]`);
  return {
    slug: message.slug,
    title: message.title,
    content: message.content,
    author: message.author,
    tags: message.tags,
    publishTime: message.publishTime && toDate(message.publishTime, `${field}.publish_time`),
  };
}

/** The message for a time; none for none. */
export function toTimestamp(date: Date | undefined): Timestamp | undefined {
  if (date === undefined) return undefined;
  const ms = date.getTime();
  const seconds = Math.floor(ms / 1000);
  return create(TimestampSchema, { seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * 1_000_000 });
}

/** JSON can escape half of a surrogate pair, which no UTF-8 can hold. */
function requireWellFormed(text: string, field: string): void {
  if (!text.isWellFormed()) {
    throw invalidField(field, 'has half of a surrogate pair, which is no Unicode text');
  }
}

/** Drops what is finer than a millisecond. */
function toDate({ seconds, nanos }: Timestamp, field: string): Date {
  if (seconds < MIN_SECONDS || seconds > MAX_SECONDS || nanos < 0 || nanos > 999_999_999) {
    throw invalidField(field, 'is not between 0001-01-01T00:00:00Z and 9999-12-31T23:59:59.999999999Z');
  }
  return new Date(Number(seconds) * 1000 + Math.floor(nanos / 1_000_000));
}

/** The range of google.protobuf.Timestamp. */
const MIN_SECONDS = -62_135_596_800n;
const MAX_SECONDS = 253_402_300_799n;
