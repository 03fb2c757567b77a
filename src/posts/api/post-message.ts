import { create } from '@bufbuild/protobuf';
import { type Timestamp, TimestampSchema } from '@bufbuild/protobuf/wkt';
import { type Post as PostMessage, PostSchema } from '#gen/blog/v1/post_pb.js';
import type { Post, PostFields } from '#src/posts/post.ts';

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

/** What a message says of the fields that authors set. */
export function toContent({ slug, title, content, author, tags, publishTime }: PostMessage): PostFields {
  return { slug, title, content, author, tags, publishTime: publishTime && toDate(publishTime) };
}

/** The message for a time; none for none. */
export function toTimestamp(date: Date | undefined): Timestamp | undefined {
  if (date === undefined) return undefined;
  const ms = date.getTime();
  const seconds = Math.floor(ms / 1000);
  return create(TimestampSchema, { seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * 1_000_000 });
}

/** Drops what is finer than a millisecond. */
function toDate({ seconds, nanos }: Timestamp): Date {
  return new Date(Number(seconds) * 1000 + Math.floor(nanos / 1_000_000));
}
