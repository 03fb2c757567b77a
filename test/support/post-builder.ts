import { v7 as uuidv7 } from 'uuid';
import type { NewPost } from '#src/posts/post-store.ts';

/** A post to create: what matters to the test in `fields`, and something valid and unique for the rest. */
export function aNewPost(fields: Partial<NewPost> = {}): NewPost {
  const id = uuidv7();
  return {
    id,
    slug: `post-${id}`,
    title: 'A title',
    content: 'Some *content*.\n',
    author: 'Ada',
    tags: ['one', 'two'],
    publishTime: new Date('2026-01-02T03:04:05.678Z'),
    request: undefined,
    ...fields,
  };
}
