import type { PostChange } from '#src/posts/feed/post-change.ts';
import type { Post } from '#src/posts/post.ts';
import type { PostQuery } from '#src/posts/post-store.ts';

/** What the answer to a look-up by id depends on. */
export function tagsOfId(id: string): string[] {
  return [idKey(id)];
}

/** What the answer to a look-up by slug depends on: who has the slug, and the post that was found. */
export function tagsOfSlug(slug: string, found: Post | undefined): string[] {
  return found === undefined ? [slugKey(slug)] : [slugKey(slug), idKey(found.id)];
}

/** What a page of a list depends on: the posts of its author, or with its tag, or all. */
export function tagsOfList({ author, tag }: PostQuery): string[] {
  if (author !== undefined) return [ANY_LIST, `author:${author}`];
  return [ANY_LIST, tag === undefined ? EVERY_POST : `tag:${tag}`];
}

/** What answers may depend on and was written. */
export interface Written {
  /** By id and by slug: answers are kept under these. */
  readonly posts: ReadonlySet<string>;
  /** Lists depend on others than they are kept under. */
  readonly lists: ReadonlySet<string>;
}

/** All that changes which were told by the feed change. */
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

/** All that a write of this process changes: what the post was before is not known, so it may be in any list. */
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
