import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { createNearCache } from '#src/cache/sieve-store.ts';
import { type CacheEntry, sizeOfEntry } from '#src/posts/cache/cache-entry.ts';
import type { Corpus } from '../corpus.ts';
import { makeAnswers } from './cached-posts.ts';

/** The memory of a cached post, in bytes: means. */
export interface PostMemory {
  readonly posts: number;
  /** Characters of its texts. */
  readonly text: number;
  /** In the heap, with its place in the cache. */
  readonly heap: number;
  /** The size that the cache counts for it, which includes the encoded answers that are kept with it. */
  readonly counted: number;
}

export function measurePostMemory(corpus: Corpus, posts: number): PostMemory {
  setFlagsFromString('--expose-gc');
  const gc = runInNewContext('gc') as () => void;
  gc();
  const before = process.memoryUsage();
  const near = createNearCache<CacheEntry>({ maxBytes: 1e12, sizeOf: sizeOfEntry });
  let text = 0;
  for (const answer of makeAnswers(corpus, posts)) {
    void near.store.set(`id:${answer.value.id}`, { value: answer });
    text += answer.value.content.length + answer.value.title.length;
  }
  gc();
  const after = process.memoryUsage();
  const heap = after.heapUsed + after.external - before.heapUsed - before.external;
  if (near.store.size !== posts) throw new Error('not all of it was kept');
  return { posts, text: text / posts, heap: heap / posts, counted: near.store.bytes / posts };
}
