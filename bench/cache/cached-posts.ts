import { Snapshot } from '#src/db/snapshot.ts';
import type { CacheEntry } from '#src/posts/cache/cache-entry.ts';
import { tagsOfId } from '#src/posts/cache/cache-tags.ts';
import type { Post } from '#src/posts/post.ts';
import type { Corpus } from '../corpus.ts';
import { Random } from '../random.ts';

/** Posts as they are cached, made of real ones. Each owns its texts. */
export function makeAnswers(corpus: Corpus, count: number): CacheEntry<Post>[] {
  const random = new Random(1);
  const pick = <T>(items: readonly T[]) => items[random.below(items.length)] as T;
  return Array.from({ length: count }, (_, n) => {
    const id = `0198a6f0-0000-7000-8000-${n.toString(16).padStart(12, '0')}`;
    const value: Post = {
      id,
      slug: `post-${n}`,
      title: pick(corpus.titles),
      // As pg makes them: a string of its own, not a slice of another one.
      content: Buffer.from(`${n} ${pick(corpus.passages)}`).toString(),
      author: pick(corpus.authors),
      tags: [pick(corpus.tags), pick(corpus.tags)],
      publishTime: new Date(n),
      createTime: new Date(n),
      updateTime: new Date(n),
      deleteTime: undefined,
      purgeTime: undefined,
      etag: `1-${n}`,
    };
    return { value, snapshot: SNAPSHOT, era: 1, readAt: 0, ttlMs: 60_000, dependencies: tagsOfId(id) };
  });
}

/** The snapshot of all cached posts. */
export const SNAPSHOT = new Snapshot('100:100:');
