import type { MessageInitShape } from '@bufbuild/protobuf';
import { v7 as uuidv7 } from 'uuid';
import type { PostSchema } from '#gen/blog/v1/post_pb.js';
import type { NewPost } from '#src/posts/post-store.ts';

/** A post to create: what matters to the test in `fields`, and something valid and unique for the rest. */
export function aNewPost(fields: Partial<NewPost> = {}): NewPost {
  const id = uuidv7();
  return {
    id,
    slug: `post-${id}`,
    slugIfTaken: [],
    title: 'A title',
    content: 'Some *content*.\n',
    author: 'Ada',
    tags: ['one', 'two'],
    publishTime: new Date('2026-01-02T03:04:05.678Z'),
    request: undefined,
    ...fields,
  };
}

/** A post to send to the API: what matters to the test in `fields`, a title, and a slug that no other post has. */
export function aPost(fields: PostFields = {}): PostFields {
  return { title: 'A title', slug: aSlug(), ...fields };
}

/** A slug that no post has. */
export function aSlug(): string {
  return `post-${uuidv7()}`;
}

export type PostFields = Exclude<MessageInitShape<typeof PostSchema>, { $typeName: 'blog.v1.Post' }>;
