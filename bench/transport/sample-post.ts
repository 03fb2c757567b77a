import { create, toBinary } from '@bufbuild/protobuf';
import { type GetPostResponse, GetPostResponseSchema } from '#gen/blog/v1/post_service_pb.js';
import { toMessage } from '#src/posts/api/post-message.ts';
import type { Post } from '#src/posts/post.ts';

const RESPONSE_BYTES = 1024;
const TEXT = [
  '## Writers and readers\n\n',
  'Every write goes to one table of changes, in the same transaction. Each instance reads that table in commit order, ',
  'and drops what it had remembered of the posts named there. A reader may see a post that is a moment old, and never one ',
  'that is older than what it saw before.\n\n',
  '- the trigger writes the change\n- the feed passes it on\n- the cache forgets\n\n',
].join('');

/** The post that every contestant serves: such as blogs have, and 1 KB (1,024 bytes) as a GetPostResponse in protobuf. */
export const SAMPLE_POST: Post = samplePost();

/** The answer to GetPost; a new message with each call. */
export function samplePostResponse(post: Post = SAMPLE_POST): GetPostResponse {
  return create(GetPostResponseSchema, { post: toMessage(post) });
}

function samplePost(): Post {
  const post = {
    id: '019a8f3c-5b7e-7c1a-9d2e-0f4b6a8c1d3e',
    slug: 'how-a-cache-stays-coherent',
    title: 'How a cache stays coherent when three instances write',
    content: '',
    author: 'Ada Lovelace',
    tags: ['caching', 'postgres', 'typescript'],
    publishTime: new Date('2026-03-01T09:00:00.250Z'),
    createTime: new Date('2026-02-27T16:20:11.018Z'),
    updateTime: new Date('2026-03-02T07:45:59.901Z'),
    deleteTime: undefined,
    purgeTime: undefined,
    etag: 'W5yV0mJ2kq8',
  };
  // The content brings its tag, and its length in two bytes.
  const room = RESPONSE_BYTES - toBinary(GetPostResponseSchema, samplePostResponse(post)).byteLength - 3;
  return { ...post, content: TEXT.repeat(Math.ceil(room / TEXT.length)).slice(0, room) };
}
