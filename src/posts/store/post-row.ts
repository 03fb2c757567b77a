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

/** The transaction that a statement writes in, for it to return. */
export const WRITTEN_BY_TEXT = 'pg_current_xact_id()::text as xid, (select post_changes_timeline())::int8 as timeline';
export const WRITTEN_BY = sql.raw(WRITTEN_BY_TEXT);

/** The columns of WRITTEN_BY, as pg reads them. */
export interface WrittenBy {
  readonly xid: string;
  /** Of the server: each promotion of a standby begins one. Null: it does not say. */
  readonly timeline: string | null;
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
  const [, revision, time] = /^([1-9]\d{0,17})-(-?[0-9a-z]{1,10})$/.exec(etag) ?? [];
  if (revision === undefined || time === undefined) return undefined;
  const ms = Number.parseInt(time, 36);
  return ms < YEAR_1_MS || ms > YEAR_9999_END_MS ? undefined : { revision, updateTime: new Date(ms) };
}

/**
 * A row of the change feed, with the nearest times and tags that can be sent. Rows of `posts` have others only if they are older than the
 * rules of the table. The feed tells all instances and watchers of those too, when somebody repairs or deletes them.
 */
export function toReadable<Row extends PostRow>(row: Row): Row {
  return {
    ...row,
    tags: toTags(row.tags),
    publish_time: nearestTime(row.publish_time),
    create_time: nearestTime(row.create_time),
    update_time: nearestTime(row.update_time),
    delete_time: nearestTime(row.delete_time),
    purge_time: nearestTime(row.purge_time),
  };
}

/** Postgres takes a matrix for a list, and nulls in it. */
export function toTags(tags: readonly unknown[]): readonly string[] {
  const isList = (list: readonly unknown[]): list is readonly string[] => list.every(tag => typeof tag === 'string');
  return isList(tags) ? tags : tags.flat(Number.POSITIVE_INFINITY).filter(tag => typeof tag === 'string');
}

/** pg makes a number of an infinite time. */
function nearestTime<Time extends Date | null>(time: Time): Time {
  if (time === null) return time;
  const ms = Number(time);
  if (ms >= YEAR_1_MS && ms <= YEAR_9999_END_MS) return time;
  return new Date(Math.min(Math.max(ms, YEAR_1_MS), YEAR_9999_END_MS)) as Time;
}

/** From the first millisecond of the year 1 to the last of the year 9999, as a google.protobuf.Timestamp has it: the times of posts. */
const YEAR_1_MS = -62_135_596_800_000;
const YEAR_9999_END_MS = 253_402_300_799_999;
