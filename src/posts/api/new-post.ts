import { createHash } from 'node:crypto';
import { v7 as uuidv7 } from 'uuid';
import type { CreatePostRequest } from '#gen/blog/v1/post_service_pb.js';
import { toContent } from '#src/posts/api/post-message.ts';
import { chooseSlug } from '#src/posts/derived-slug.ts';
import type { PostFields } from '#src/posts/post.ts';
import type { NewPost } from '#src/posts/post-store.ts';

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
