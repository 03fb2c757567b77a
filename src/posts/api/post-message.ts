import { createHash } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { type Timestamp, TimestampSchema } from '@bufbuild/protobuf/wkt';
import { v7 as uuidv7 } from 'uuid';
import { type Post as PostMessage, PostSchema } from '#gen/blog/v1/post_pb.js';
import type { CreatePostRequest } from '#gen/blog/v1/post_service_pb.js';
import type { Post, PostFields } from '#src/posts/post.ts';
import type { NewPost } from '#src/posts/post-store.ts';
import { chooseSlug } from '#src/posts/slug.ts';

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

/** The post that a request asks for, with an id and a slug. */
export async function toNewPost({ post, requestId }: CreatePostRequest): Promise<NewPost> {
  if (post === undefined) throw new Error('a request without a post was not refused');
  const content = toContent(post);
  const id = uuidv7();
  return {
    ...content,
    id,
    ...(await chooseSlug(content.slug, content.title, id)),
    request: requestId === '' ? undefined : { id: requestId.toLowerCase(), digest: digest(content) },
  };
}

/** SHA-256 of all that the author sets, as it was sent: a slug that is derived is no part of it. */
function digest({ slug, title, content, author, tags, publishTime }: PostFields): Uint8Array {
  return createHash('sha256')
    .update(JSON.stringify([slug, title, content, author, tags, publishTime]))
    .digest();
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
