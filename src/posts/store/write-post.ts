import { type Expression, sql } from 'kysely';
import type { Database } from '#src/db/database.ts';
import { WriteConflictError } from '#src/db/errors.ts';
import { type AuthoredFields, authoredFields, type Post } from '#src/posts/post.ts';
import {
  EtagMismatchError,
  PostDeletedError,
  PostNotDeletedError,
  PostNotFoundError,
  type StoreCall,
} from '#src/posts/post-store.ts';
import type { SlugChoice } from '#src/posts/slug.ts';
import {
  formatEtag,
  type PostRow,
  parseEtag,
  postColumns,
  toParameter,
  toPost,
  WRITTEN_BY,
  type WrittenBy,
} from '#src/posts/store/post-row.ts';
import { slugOf, translateConstraint } from '#src/posts/store/slug-choices.ts';

/** A write of one post that exists. */
export interface PostWrite {
  readonly id: string;
  /** Write only this version. */
  readonly etag: string | undefined;
  /** Write it only in this state. */
  readonly expected: 'live' | 'deleted';
  readonly assignments: readonly Expression<unknown>[];
}

/** A post, and the transaction that wrote it. */
export interface WrittenPost {
  readonly post: Post;
  readonly by: WrittenBy;
}

/**
 * Writes a post in one statement.
 *
 * @throws PostNotFoundError, PostDeletedError, PostNotDeletedError, EtagMismatchError, SlugTakenError, WriteConflictError.
 */
export async function writePost(db: Database, write: PostWrite, call: StoreCall | undefined): Promise<WrittenPost> {
  const { id, etag, expected, assignments } = write;
  const version = etag === undefined ? undefined : parseEtag(etag);
  const conditions = [sql`p.id = ${id}::uuid`, expected === 'live' ? sql`not p.deleted` : sql`p.deleted`];
  if (version !== undefined) {
    const updateTime = version.updateTime.toISOString();
    conditions.push(sql`p.revision = ${version.revision} and p.update_time = ${updateTime}::timestamptz`);
  }
  if (etag === undefined || version !== undefined) {
    const { rows } = await sql<PostRow & WrittenBy>`
      update posts p
      set ${sql.join(assignments)}, revision = p.revision + 1, update_time = greatest(now(), p.update_time)
      where ${sql.join(conditions, sql` and `)}
      returning ${postColumns('p', true)}, ${WRITTEN_BY}`
      .execute(db, { signal: call?.signal })
      .catch(translateConstraint);
    if (rows[0] !== undefined) return { post: toPost(rows[0]), by: rows[0] };
  }
  throw await explainMiss(db, write, call);
}

/** Why no post was written. */
async function explainMiss(
  db: Database,
  { id, etag, expected }: PostWrite,
  call: StoreCall | undefined,
): Promise<Error> {
  const row = await db
    .selectFrom('posts')
    .select(['deleted', 'revision', 'update_time as updateTime'])
    .where('id', '=', id)
    .executeTakeFirst({ signal: call?.signal });
  if (row === undefined) return new PostNotFoundError([id]);
  if (expected === 'live' && row.deleted) return new PostDeletedError(id);
  if (expected === 'deleted' && !row.deleted) return new PostNotDeletedError(id);
  const current = formatEtag(row);
  if (etag !== undefined && etag !== current) return new EtagMismatchError(id, current);
  return new WriteConflictError('another call deleted or undeleted the post at the same time: get it, and try again');
}

/** Runs the work in a transaction. `validateOnly` rolls it back. */
export async function inTransaction<T>(
  db: Database,
  validateOnly: boolean,
  work: (db: Database) => Promise<T>,
): Promise<T> {
  let result: { readonly value: T } | undefined;
  const tried = new Error('tried, and rolled back');
  try {
    await db.transaction().execute(async transaction => {
      result = { value: await work(transaction) };
      if (validateOnly) throw tried;
    });
  } catch (error) {
    if (error !== tried) throw error;
  }
  if (result === undefined) throw new Error('the transaction gave no result');
  return result.value;
}

/** The assignments that set these fields, and the first slug of the choice that is free. */
export function assignmentsOf(
  id: string,
  changes: Partial<Omit<AuthoredFields, 'slug'>>,
  choice: SlugChoice | undefined,
): Expression<unknown>[] {
  const assignments: Expression<unknown>[] = authoredFields.flatMap(([name, { column, type }]) =>
    name !== 'slug' && name in changes ? sql`${sql.ref(column)} = ${toParameter(changes[name])}::${sql.raw(type)}` : [],
  );
  if (choice !== undefined) assignments.push(setSlug(id, choice));
  return assignments;
}

function setSlug(id: string, { slug, slugIfTaken }: SlugChoice): Expression<unknown> {
  if (slugIfTaken.length === 0) return sql`slug = ${slug}`;
  return sql`slug = ${slugOf(sql`${[slug, ...slugIfTaken]}::text[]`, sql`o.id <> ${id}::uuid`)}`;
}
