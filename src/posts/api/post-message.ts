import { createHash } from 'node:crypto';
import { create } from '@bufbuild/protobuf';
import { type Timestamp, TimestampSchema } from '@bufbuild/protobuf/wkt';
import { v7 as uuidv7 } from 'uuid';
import { type Post as PostMessage, PostSchema } from '#gen/blog/v1/post_pb.js';
import type { CreatePostRequest } from '#gen/blog/v1/post_service_pb.js';
import { type AuthoredField, type AuthoredFields, authoredFields, type Post, postFields } from '#src/posts/post.ts';
import type { NewPost } from '#src/posts/post-store.ts';
import { chooseSlug } from '#src/posts/slug.ts';

/** The message for a post. */
export function toMessage(post: Post): PostMessage {
  const message: Record<string, unknown> = { ...post };
  for (const name of CONVERTED_FIELDS) message[name] = toMessageValue(post[name]);
  return create(PostSchema, message);
}

/** What a message says of the fields that authors set. */
export function toAuthoredFields(message: PostMessage): AuthoredFields {
  return Object.fromEntries(
    authoredFields.map(([name]) => [name, fromMessageValue(message[name])]),
  ) as unknown as AuthoredFields;
}

/** The post that a request asks for, with an id and a slug. */
export async function toNewPost({ post, requestId }: CreatePostRequest): Promise<NewPost> {
  if (post === undefined) throw new Error('a request without a post was not refused');
  const fields = toAuthoredFields(post);
  const id = uuidv7();
  return {
    ...fields,
    id,
    ...(await chooseSlug(fields.slug, fields.title, id)),
    request: requestId === '' ? undefined : { id: requestId.toLowerCase(), digest: digest(fields) },
  };
}

/** SHA-256 of all that the author sets, as it was sent: a slug that is derived is no part of it. */
function digest(fields: AuthoredFields): Uint8Array {
  return createHash('sha256')
    .update(JSON.stringify(authoredFields.map(([name]) => fields[name])))
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

function toMessageValue(value: Post[keyof Post]): string | string[] | Timestamp | undefined {
  if (value === undefined || value instanceof Date) return toTimestamp(value);
  return typeof value === 'string' ? value : [...value];
}

function fromMessageValue(value: PostMessage[AuthoredField]): Post[keyof Post] {
  return value === undefined || typeof value === 'string' || Array.isArray(value) ? value : toDate(value);
}

type MessageField = Exclude<keyof PostMessage, `$${string}`>;
type SameFields = [keyof Post, MessageField] extends [MessageField, keyof Post] ? typeof postFields : never;

/** A type error here says that the .proto and POST_FIELDS have different fields. */
const MESSAGE_FIELDS: SameFields = postFields;
/** Texts are the same in a message. */
const CONVERTED_FIELDS = MESSAGE_FIELDS.flatMap(([name, { type }]) =>
  type === 'text[]' || type === 'timestamptz' ? name : [],
);
