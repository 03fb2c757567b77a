import { Code, ConnectError, type ServiceImpl } from '@connectrpc/connect';
import type { PostService } from '#gen/blog/v1/post_service_pb.js';
import { SAMPLE_POST, samplePostResponse } from '../sample-post.ts';

/**
 * GetPost from memory, in an async handler.
 *
 * @param options.frozen true: as a cache's messages are, whose bytes the fast path remembers; false: each call encodes its
 *   message, as other servers do.
 */
export function inMemoryPosts(options: { readonly frozen: boolean }): Partial<ServiceImpl<typeof PostService>> {
  const answer = samplePostResponse();
  const answers = new Map([[SAMPLE_POST.id, options.frozen ? Object.freeze(answer) : answer]]);
  return {
    async getPost({ key }) {
      return answers.get(key.value ?? '') ?? notFound();
    },
  };
}

function notFound(): never {
  throw new ConnectError('no such post', Code.NotFound);
}
