import { type RawBuilder, sql } from 'kysely';
import { type Post, type PostFields, postFields } from '#src/posts/post.ts';

/** A row of `posts` as the store reads it. It never leaves the Postgres store. */
export type PostRow = {
  readonly [Name in StoredField as PostFields[Name]['column']]:
    | (undefined extends Post[Name] ? Exclude<Post[Name], undefined> | null : Post[Name])
    // Null where the query did not read it.
    | (Name extends 'content' ? null : never);
} & {
  /** A bigint, which pg reads as text. */
  readonly revision: string;
};

type StoredField = Exclude<keyof Post, 'etag'>;

/** A version of a post: `revision` counts its writes, `updateTime` tells apart what a restored backup would repeat. */
export interface PostVersion {
  readonly revision: string;
  readonly updateTime: Date;
}

/** The columns of a PostRow, but for `content`. */
export const postColumnNames = [
  ...postFields.flatMap(([, { column }]) => (column === undefined || column === 'content' ? [] : column)),
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
  const etag = formatEtag({ revision: row.revision, updateTime: row.update_time });
  const post: Record<string, unknown> = { ...EMPTY_POST, etag };
  for (const { name, column } of STORED_FIELDS) {
    const value = row[column];
    if (value !== null) post[name] = value;
  }
  return post as Post;
}

const STORED_FIELDS = postFields.flatMap(([name, { column }]) =>
  column === undefined ? [] : [{ name, column: column as keyof PostRow }],
);
/** What a post has where its row has null. Made once, so that all posts have one shape, which V8 reads faster. */
const EMPTY_POST = Object.fromEntries(postFields.map(([name, { type }]) => [name, type === 'text' ? '' : undefined]));

/** The parameter for a field's value. */
export function toParameter(value: Post[keyof Post]): string | readonly string[] | null {
  return value instanceof Date ? value.toISOString() : (value ?? null);
}

/** The etag of a version. */
export function formatEtag({ revision, updateTime }: PostVersion): string {
  return `${revision}-${updateTime.getTime().toString(36)}`;
}

/** The version that an etag stands for; undefined for text that this service never issued. */
export function parseEtag(etag: string): PostVersion | undefined {
  const [, revision, time] = /^([1-9]\d{0,17})-(-?[0-9a-z]{1,10})$/.exec(etag) ?? [];
  if (revision === undefined || time === undefined) return undefined;
  const ms = Number.parseInt(time, 36);
  return ms < YEAR_1_MS || ms > YEAR_9999_END_MS ? undefined : { revision, updateTime: new Date(ms) };
}

/**
 * A row of the change feed, with times and tags replaced by the nearest valid ones. Only rows older than the table's
 * constraints have invalid values. The feed still has to report when somebody repairs or deletes them.
 */
export function toReadable<Row extends PostRow>(row: Row): Row {
  const times = TIME_COLUMNS.map(column => [column, nearestTime(row[column])]);
  return { ...row, tags: toTags(row.tags), ...Object.fromEntries(times) };
}

type TimeColumn = { [Name in keyof PostRow]: PostRow[Name] extends Date | null ? Name : never }[keyof PostRow];

const TIME_COLUMNS = postFields
  .filter(([, { type }]) => type === 'timestamptz')
  .map(([, { column }]) => column as TimeColumn);

/** Postgres accepts nulls, and nested arrays, in a `text[]`. */
export function toTags(tags: readonly unknown[]): readonly string[] {
  const isList = (list: readonly unknown[]): list is readonly string[] => list.every(tag => typeof tag === 'string');
  return isList(tags) ? tags : tags.flat(Number.POSITIVE_INFINITY).filter(tag => typeof tag === 'string');
}

/** pg returns a number for an infinite time. */
function nearestTime(time: Date | null): Date | null {
  if (time === null) return time;
  const ms = Number(time);
  if (ms >= YEAR_1_MS && ms <= YEAR_9999_END_MS) return time;
  return new Date(Math.min(Math.max(ms, YEAR_1_MS), YEAR_9999_END_MS));
}

/** The range of google.protobuf.Timestamp: years 1 to 9999. */
const YEAR_1_MS = -62_135_596_800_000;
const YEAR_9999_END_MS = 253_402_300_799_999;
