import { type RawBuilder, sql } from 'kysely';
import pg from 'pg';
import { SlugTakenError } from '#src/posts/post-store.ts';
import type { SlugChoice } from '#src/posts/slug.ts';

/** Gives each post of a batch a different derived slug, and none that another post asks for explicitly. */
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
 * Writes posts, and retries without each slug that another writer takes at the same time.
 *
 * @throws SlugTakenError if a post has no other slug; whatever the write throws.
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

/** The posts without a choice that is taken; undefined if a post has no other choice, or no post has this one. */
function withoutSlug<Post extends SlugChoice>(posts: readonly Post[], taken: string): Post[] | undefined {
  if (!posts.some(post => post.slug === taken || post.slugIfTaken.includes(taken))) return undefined;
  if (posts.some(post => post.slug === taken && post.slugIfTaken.length === 0)) return undefined;
  return posts.map(post => {
    const [slug = post.slug, ...slugIfTaken] = [post.slug, ...post.slugIfTaken].filter(choice => choice !== taken);
    return { ...post, slug, slugIfTaken };
  });
}

/**
 * The first of these slugs that no live post has. If all are taken it is the first, which violates the unique index.
 * A single slug needs no look-up.
 *
 * @param others which of the live posts `o` count.
 */
export function slugOf(slugs: RawBuilder<unknown>, others: RawBuilder<unknown>): RawBuilder<string> {
  const isFree = (slug: RawBuilder<unknown>) =>
    sql`not exists (select from posts o where o.slug = ${slug} and not o.deleted and ${others})`;
  const first = sql`(${slugs})[1]`;
  return sql`case when cardinality(${slugs}) = 1 or ${isFree(first)} then ${first} else coalesce((
    select choice.slug from unnest(${slugs}) with ordinality choice (slug, n)
    where ${isFree(sql`choice.slug`)} order by choice.n limit 1), ${first}) end`;
}

/** @throws SlugTakenError for a slug that another live post has; other errors as they are. */
export function translateConstraint(error: unknown): never {
  if (error instanceof pg.DatabaseError && error.constraint === 'posts_live_slug') {
    // "Key (slug)=(hello-world) already exists.", of which the part in brackets is the same in every language.
    throw new SlugTakenError(/\(slug\)=\((.*)\)/.exec(error.detail ?? '')?.[1] ?? '');
  }
  throw error;
}
