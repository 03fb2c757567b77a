import type { SlugChoice } from '#src/posts/derived-slug.ts';
import { SlugTakenError } from '#src/posts/post-store.ts';

/** The same posts, of which no derived slug is that of another one before it, or an explicit one of any. */
export function distinctSlugs<Post extends SlugChoice>(posts: readonly Post[]): Post[] {
  const taken = new Set(posts.filter(({ slugIfTaken }) => slugIfTaken.length === 0).map(({ slug }) => slug));
  return posts.map(post => {
    if (post.slugIfTaken.length === 0) return post;
    const [slug, ...slugIfTaken] = [post.slug, ...post.slugIfTaken].filter(choice => !taken.has(choice));
    if (slug === undefined) return post;
    taken.add(slug);
    return { ...post, slug, slugIfTaken };
  });
}

/**
 * Writes posts, and again without each slug that another writer takes meanwhile.
 *
 * @throws SlugTakenError for a post that has no other slug; and what the write throws.
 */
export async function untilSlugsAreFree<Post extends SlugChoice, Written>(
  posts: readonly Post[],
  write: (posts: readonly Post[]) => Promise<Written>,
): Promise<Written> {
  try {
    return await write(posts);
  } catch (error) {
    const others = error instanceof SlugTakenError ? withoutSlug(posts, error.slug) : undefined;
    if (others === undefined) throw error;
    return untilSlugsAreFree(others, write);
  }
}

/** The same posts without this choice, which is taken; undefined: one of them has no other, or none has this one. */
export function withoutSlug<Post extends SlugChoice>(posts: readonly Post[], taken: string): Post[] | undefined {
  if (!posts.some(post => post.slug === taken || post.slugIfTaken.includes(taken))) return undefined;
  if (posts.some(post => post.slug === taken && post.slugIfTaken.length === 0)) return undefined;
  return posts.map(post => {
    const [slug = post.slug, ...slugIfTaken] = [post.slug, ...post.slugIfTaken].filter(choice => choice !== taken);
    return { ...post, slug, slugIfTaken };
  });
}
