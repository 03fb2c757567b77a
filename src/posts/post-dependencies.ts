import type { Post } from '#src/posts/post.ts';
import type { PostChange } from '#src/posts/post-change.ts';
import type { PostQuery } from '#src/posts/post-store.ts';

/** What the answer to a look-up by id depends on. */
export function dependenciesOfId(id: string): string[] {
  return [idKey(id)];
}

/** What the answer to a look-up by slug depends on: who has the slug, and the post that was found. */
export function dependenciesOfSlug(slug: string, found: Post | undefined): string[] {
  return found === undefined ? [slugKey(slug)] : [slugKey(slug), idKey(found.id)];
}

/** What a page of a list depends on: the posts of its author, or with its tag, or all. */
export function dependenciesOfList({ author, tag }: PostQuery): string[] {
  if (author !== undefined) return [ANY_LIST, `author:${author}`];
  return [ANY_LIST, tag === undefined ? EVERY_POST : `tag:${tag}`];
}

/** All that a change that was told by the feed changes. */
export function dependenciesOfChange({ post, previous }: PostChange): Set<string> {
  const changed = new Set([idKey(post.id), EVERY_POST]);
  for (const { slug, author, tags } of previous === undefined ? [post] : [post, previous]) {
    changed.add(slugKey(slug));
    changed.add(`author:${author}`);
    for (const tag of tags) changed.add(`tag:${tag}`);
  }
  return changed;
}

/** All that a write of this process changes: what the post was before is not known, so it may be in any list. */
export function dependenciesOfWrite(posts: readonly Pick<Post, 'id' | 'slug'>[]): string[] {
  return [ANY_LIST, ...posts.flatMap(({ id, slug }) => [idKey(id), slugKey(slug)])];
}

export function idKey(id: string): string {
  return `id:${id}`;
}

export function slugKey(slug: string): string {
  return `slug:${slug}`;
}

/** Whether an answer may be kept under this dependency: a post. Lists depend on others than they are kept under. */
export function isAnswerKey(dependency: string): boolean {
  return dependency.startsWith('id:') || dependency.startsWith('slug:');
}

const EVERY_POST = 'every';
const ANY_LIST = 'lists';
