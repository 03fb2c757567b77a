import { Code, ConnectError, type ServiceImpl } from '@connectrpc/connect';
import type { PostService } from '#gen/blog/v1/post_service_pb.js';
import { SAMPLE_POST, samplePostResponse } from '../sample-post.ts';

/**
 * GetPost from memory, in an async handler.
 *
 * @param options.fresh false: each call returns the same message, as a cache does; true: each call makes one from the
 *   post, as is done with what comes from the database.
 */
export function inMemoryPosts(options: { readonly fresh: boolean }): Partial<ServiceImpl<typeof PostService>> {
  const posts = new Map([[SAMPLE_POST.id, SAMPLE_POST]]);
  // Frozen, as a cache's messages are: the fast path remembers their bytes.
  const answers = new Map([[SAMPLE_POST.id, Object.freeze(samplePostResponse())]]);
  return {
    async getPost({ key }) {
      const id = key.value ?? '';
      if (!options.fresh) return answers.get(id) ?? notFound();
      return samplePostResponse(posts.get(id) ?? notFound());
    },
  };
}

function notFound(): never {
  throw new ConnectError('no such post', Code.NotFound);
}
