import { createHash } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import type { CreatePostRequest } from '#gen/blog/v1/post_service_pb.js';
import { invalidField } from '#src/posts/invalid-argument-error.ts';
import type { PostContent } from '#src/posts/post.ts';
import { toContent } from '#src/posts/post-message.ts';
import type { NewPost } from '#src/posts/post-store.ts';
import { slugify } from '#src/posts/slug.ts';

/**
 * The post that a request asks for, with an id and a slug.
 *
 * @param prefix of the request's fields in errors: empty, or such as `requests[3].`.
 * @throws InvalidArgumentError where the title is empty, or a field breaks a rule that the .proto does not express.
 */
export function toNewPost(request: CreatePostRequest, prefix: string): NewPost {
  const field = `${prefix}post`;
  if (request.post === undefined) throw invalidField(field, 'is required');
  const content = toContent(request.post, field);
  if (content.title === '') throw invalidField(`${field}.title`, 'is required');
  const id = uuidv7();
  return {
    ...content,
    id,
    slug: content.slug || slugify(content.title) || id,
    request: request.requestId === '' ? undefined : { id: request.requestId.toLowerCase(), digest: digest(content) },
  };
}

/** SHA-256 of all that the author sets, as it was sent: a slug that is derived is no part of it. */
function digest({ slug, title, content, author, tags, publishTime }: PostContent): Uint8Array {
  return createHash('sha256')
    .update(JSON.stringify([slug, title, content, author, tags, publishTime]))
    .digest();
}
