import type { PostChange } from '#src/posts/feed/post-change.ts';
import type { Post } from '#src/posts/post.ts';
import type { PostQuery } from '#src/posts/post-store.ts';

/** The cache tags of a look-up by id. */
export function tagsOfId(id: string): string[] {
  return [idKey(id)];
}

/** The cache tags of a look-up by slug: the slug, and the post that was found. */
export function tagsOfSlug(slug: string, found: Post | undefined): string[] {
  return found === undefined ? [slugKey(slug)] : [slugKey(slug), idKey(found.id)];
}

/** The cache tags of a page of a list: its author, or its tag, or all posts. */
export function tagsOfList({ author, tag }: PostQuery): string[] {
  if (author !== undefined) return [ANY_LIST, `author:${author}`];
  return [ANY_LIST, tag === undefined ? EVERY_POST : `tag:${tag}`];
}

/** The cache tags of written posts. */
export interface Written {
  /** By id and by slug: the keys of entries. */
  readonly posts: ReadonlySet<string>;
  /** Tags of lists, which are not the keys of entries. */
  readonly lists: ReadonlySet<string>;
}

/** The tags of changes from the feed. */
export function writtenByChanges(changes: readonly PostChange[]): Written {
  const posts = new Set<string>();
  const lists = new Set<string>();
  for (const { post, previous } of changes) {
    posts.add(idKey(post.id));
    lists.add(EVERY_POST);
    for (const { slug, author, tags } of previous === undefined ? [post] : [post, previous]) {
      posts.add(slugKey(slug));
      lists.add(`author:${author}`);
      for (const tag of tags) lists.add(`tag:${tag}`);
    }
  }
  return { posts, lists };
}

/** The tags of a write of this process. The post's state before is unknown, so it may be in any list. */
export function writtenPosts(posts: readonly Pick<Post, 'id' | 'slug'>[]): Written {
  const keys = posts.flatMap(({ id, slug }) => [idKey(id), slugKey(slug)]);
  return { posts: new Set(keys), lists: new Set([ANY_LIST]) };
}

export function idKey(id: string): string {
  return `id:${id}`;
}

export function slugKey(slug: string): string {
  return `slug:${slug}`;
}

const EVERY_POST = 'every';
const ANY_LIST = 'lists';
