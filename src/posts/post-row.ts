import { type RawBuilder, sql } from 'kysely';
import type { Post } from '#src/posts/post.ts';

/** A row of `posts` as the store reads it. It never leaves the Postgres store. */
export interface PostRow {
  readonly id: string;
  readonly slug: string;
  readonly title: string;
  /** Null where the query did not read it. */
  readonly content: string | null;
  readonly author: string;
  readonly tags: readonly string[];
  readonly publish_time: Date | null;
  readonly create_time: Date;
  readonly update_time: Date;
  readonly delete_time: Date | null;
  readonly purge_time: Date | null;
  /** A bigint, which pg reads as text. */
  readonly revision: string;
}

/** A version of a post: `revision` counts its writes, `updateTime` tells apart what a restored backup would repeat. */
export interface PostVersion {
  readonly revision: string;
  readonly updateTime: Date;
}

/** The columns of a PostRow, but for `content`. */
export const postColumnNames = [
  ...['id', 'slug', 'title', 'author', 'tags'],
  ...['publish_time', 'create_time', 'update_time', 'delete_time', 'purge_time'],
  'revision',
];

/** The columns of a PostRow, `content` included or null, of the table that is called `table` in the query. */
export function postColumns(table: string, withContent: boolean): RawBuilder<PostRow> {
  const names = postColumnNames.map(name => sql.ref(`${table}.${name}`));
  const content = withContent ? sql.ref(`${table}.content`) : sql`null::text as content`;
  return sql<PostRow>`${sql.join(names)}, ${content}`;
}

/** The post that a row holds. */
export function toPost(row: PostRow): Post {
  return {
    id: row.id,
    slug: row.slug,
    title: row.title,
    content: row.content ?? '',
    author: row.author,
    tags: row.tags,
    publishTime: row.publish_time ?? undefined,
    createTime: row.create_time,
    updateTime: row.update_time,
    deleteTime: row.delete_time ?? undefined,
    purgeTime: row.purge_time ?? undefined,
    etag: formatEtag({ revision: row.revision, updateTime: row.update_time }),
  };
}

/** The etag of a version. */
export function formatEtag({ revision, updateTime }: PostVersion): string {
  return `${revision}-${updateTime.getTime().toString(36)}`;
}

/** The version that an etag stands for; undefined for text that is no etag of ours, which no post has. */
export function parseEtag(etag: string): PostVersion | undefined {
  // Nine digits last until the year 5188; the times of more are none that Postgres would read.
  const [, revision, time] = /^([1-9]\d{0,17})-([0-9a-z]{1,9})$/.exec(etag) ?? [];
  if (revision === undefined || time === undefined) return undefined;
  return { revision, updateTime: new Date(Number.parseInt(time, 36)) };
}
