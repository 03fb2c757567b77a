import { type RawBuilder, sql } from 'kysely';
import type { Database } from '#src/db/database.ts';
import { WriteConflictError } from '#src/db/errors.ts';
import type { ConnectionPool } from '#src/db/pool/pool.ts';
import { authoredFields, type Post } from '#src/posts/post.ts';
import { type NewPost, RequestIdReusedError, SlugTakenError, type StoreCall } from '#src/posts/post-store.ts';
import { formatEtag, toParameter, WRITTEN_BY, WRITTEN_BY_TEXT, type WrittenBy } from '#src/posts/store/post-row.ts';
import { slugOf, translateConstraint } from '#src/posts/store/slug-choices.ts';

/**
 * Creates the posts, and returns them with the transaction that wrote them. `by` is undefined if earlier calls with the
 * same request ids created all of them.
 *
 * @throws SlugTakenError, RequestIdReusedError, WriteConflictError.
 */
export async function createPosts(
  db: Database,
  statements: Pick<ConnectionPool, 'run'>,
  posts: readonly NewPost[],
  call: StoreCall | undefined,
): Promise<{ readonly created: Post[]; readonly by: WrittenBy | undefined }> {
  const [first, ...others] = posts;
  if (first !== undefined && others.length === 0 && first.request === undefined) {
    const parameters = createPostParameters(first);
    const [row] = await statements.run<CreatedPost & WrittenBy>(CREATE_POST, parameters, call?.signal);
    if (row === undefined) throw new SlugTakenError(first.slug);
    return { created: [toCreatedPost(first, row)], by: row };
  }
  const { sql: text, parameters } = createPostsQuery(posts).compile(db);
  const rows = await statements
    .run<CreatedPost & WrittenBy>({ name: 'create-posts', text }, parameters, call?.signal)
    .catch(translateConstraint);
  const results = new Map<string, CreatedPost>(rows.map(row => [row.id, row]));
  const repeated = posts.filter(post => !results.has(post.id));
  if (repeated.length > 0) {
    for (const [id, first] of await firstResults(db, repeated, call)) results.set(id, first);
  }
  const created = posts.map(post => {
    const result = results.get(post.id);
    // Between two statements the request id can only have been removed for its age.
    if (result === undefined)
      throw new WriteConflictError(
        'a request id expired while the call was repeated: get the post, and create it again if it does not exist',
      );
    return toCreatedPost(post, result);
  });
  return { created, by: rows[0] };
}

/** What the posts' request ids created before, by the ids that the posts would have now. */
async function firstResults(
  db: Database,
  posts: readonly NewPost[],
  call: StoreCall | undefined,
): Promise<Map<string, CreatedPost>> {
  const byRequest = new Map(posts.map(post => [post.request?.id ?? '', post]));
  const rows = await db
    .selectFrom('create_requests')
    .select(['request_id', 'digest', 'post_id as id', 'slug', 'create_time'])
    .where('request_id', 'in', [...byRequest.keys()])
    .execute({ signal: call?.signal });
  const results = new Map<string, CreatedPost>();
  for (const row of rows) {
    const post = byRequest.get(row.request_id);
    if (post?.request === undefined) continue;
    if (!row.digest.equals(post.request.digest)) throw new RequestIdReusedError(row.request_id);
    results.set(post.id, row);
  }
  return results;
}

/**
 * Creates posts in one statement, and returns those that it created. It skips posts whose request id exists already. If
 * another call with the same request id is running, it waits for that call's end.
 *
 * Each post gets the first of its slugs that is free. A slug taken at the same time violates the unique index.
 *
 * The posts are one JSON parameter, so that the statement does not depend on their number.
 */
function createPostsQuery(posts: readonly NewPost[]): RawBuilder<CreatedPost & WrittenBy> {
  const input = JSON.stringify(
    posts.map(({ id, request, slug, slugIfTaken, ...post }) => ({
      ...Object.fromEntries(OTHER_FIELDS.map(([name, { column }]) => [column, post[name]])),
      id,
      slugs: [slug, ...slugIfTaken],
      request_id: request?.id,
      digest: request && Buffer.from(request.digest).toString('hex'),
    })),
  );
  return sql<CreatedPost & WrittenBy>`
    with input as (
      select * from json_to_recordset(${input}) as post(
        id uuid, slugs text[], ${sql.raw(OTHER_FIELDS.map(([, { column, type }]) => `${column} ${type}`).join(', '))},
        request_id uuid, digest text)
    ), chosen as (
      select input.*, ${slugOf(sql`slugs`, sql`true`)} as slug from input
    ), claimed as (
      insert into create_requests (request_id, digest, post_id, slug)
      select request_id, decode(digest, 'hex'), id, slug from chosen where request_id is not null
      on conflict (request_id) do nothing
      returning post_id
    )
    insert into posts (id, ${sql.raw(AUTHORED_COLUMNS)}, create_time, update_time)
    select id, ${sql.raw(AUTHORED_COLUMNS)}, now(), now() from chosen
    where request_id is null or id in (select post_id from claimed)
    returning id, slug, create_time, ${WRITTEN_BY}`;
}

const OTHER_FIELDS = authoredFields.flatMap(([name, field]) => (name === 'slug' ? [] : [[name, field] as const]));
const AUTHORED_COLUMNS = authoredFields.map(([, { column }]) => column).join(', ');

/**
 * Creates one post without a request id, and returns no row if its slug is taken. It costs much less than
 * `createPostsQuery`, because Postgres plans it once a connection.
 */
const CREATE_POST = {
  name: 'create-post',
  text: `
  insert into posts (id, ${AUTHORED_COLUMNS}, create_time, update_time)
  values ($1::uuid, ${authoredFields.map(([, { type }], index) => `$${index + 2}::${type}`).join(', ')}, now(), now())
  on conflict (slug) where not deleted do nothing
  returning id, slug, create_time, ${WRITTEN_BY_TEXT}`,
};

/** For CREATE_POST. */
function createPostParameters(post: NewPost): unknown[] {
  return [post.id, ...authoredFields.map(([name]) => toParameter(post[name]))];
}

/** The post as it was when it had just been created. */
function toCreatedPost({ request: _, slugIfTaken: __, ...fields }: NewPost, created: CreatedPost): Post {
  return {
    ...fields,
    id: created.id,
    slug: created.slug,
    createTime: created.create_time,
    updateTime: created.create_time,
    deleteTime: undefined,
    purgeTime: undefined,
    etag: formatEtag({ revision: '1', updateTime: created.create_time }),
  };
}

/** What the database adds to a created post. */
interface CreatedPost {
  readonly id: string;
  readonly slug: string;
  readonly create_time: Date;
}
