import { randomUUID } from 'node:crypto';
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { type Client, Code, ConnectError } from '@connectrpc/connect';
import { errorInfo } from '#client/errors.ts';
import type { Post } from '#gen/blog/v1/post_pb.js';
import type { PostService } from '#gen/blog/v1/post_service_pb.js';
import type { RetryOptions } from '#src/cli/service-calls.ts';
import { callOptions, callService } from '#src/cli/service-calls.ts';

export type UpsertOutcome = 'created' | 'updated' | 'unchanged';

/**
 * Makes the live post of `post.slug` equal to `post` in title, content, author, tags and publish time. It creates the post if
 * there is none, updates the fields that differ, or changes nothing. Writes carry a request_id or the etag. So a repeated call
 * writes nothing twice, and the write of somebody else is not undone.
 *
 * @param options.dryRun writes nothing; the outcome and the errors are those of a real run.
 * @throws ConnectError if the service refuses the post; ServiceLostError if it does not answer.
 */
export async function upsertPost(
  client: Client<typeof PostService>,
  post: Post,
  options: RetryOptions & { readonly dryRun?: boolean },
): Promise<UpsertOutcome> {
  const validateOnly = options.dryRun ?? false;
  const call = callOptions(options.signal);
  let hasTriedUpdate = false;
  for (let round = 1; ; round++) {
    const current = await getLivePost(client, post.slug, options);
    try {
      if (current === undefined) {
        const requestId = randomUUID();
        await callService(() => client.createPost({ post, requestId, validateOnly }, call), options);
        return 'created';
      }
      const paths = FIELDS.filter(field => !isSame[field](current, post));
      // The update succeeded, and its answer was lost.
      if (paths.length === 0) return hasTriedUpdate ? 'updated' : 'unchanged';
      const changed = { ...post, id: current.id, etag: current.etag };
      hasTriedUpdate = true;
      await callService(() => client.updatePost({ post: changed, updateMask: { paths }, validateOnly }, call), options);
      return 'updated';
    } catch (error) {
      if (round >= MAX_ROUNDS || !isOvertaken(error)) throw error;
    }
  }
}

const MAX_ROUNDS = 4;

const FIELDS = ['title', 'content', 'author', 'tags', 'publish_time'] as const;

const isSame: Readonly<Record<(typeof FIELDS)[number], (a: Post, b: Post) => boolean>> = {
  title: (a, b) => a.title === b.title,
  content: (a, b) => a.content === b.content,
  author: (a, b) => a.author === b.author,
  tags: (a, b) => a.tags.length === b.tags.length && a.tags.every((tag, index) => tag === b.tags[index]),
  publish_time: (a, b) =>
    (a.publishTime && timestampMs(a.publishTime)) === (b.publishTime && timestampMs(b.publishTime)),
};

async function getLivePost(
  client: Client<typeof PostService>,
  slug: string,
  options: RetryOptions,
): Promise<Post | undefined> {
  try {
    const call = callOptions(options.signal);
    const { post } = await callService(() => client.getPost({ key: { case: 'slug', value: slug } }, call), options);
    return post?.deleteTime ? undefined : post;
  } catch (error) {
    if (error instanceof ConnectError && errorInfo(error)?.reason === 'POST_NOT_FOUND') return undefined;
    throw error;
  }
}

/** Somebody else created, updated or deleted the post since it was read. */
function isOvertaken(error: unknown): boolean {
  return error instanceof ConnectError && [Code.AlreadyExists, Code.Aborted, Code.NotFound].includes(error.code);
}
