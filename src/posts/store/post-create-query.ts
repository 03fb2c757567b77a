import { type RawBuilder, sql } from 'kysely';
import type { Post } from '#src/posts/post.ts';
import type { NewPost } from '#src/posts/post-store.ts';
import { formatEtag } from '#src/posts/store/post-row.ts';
import { WRITTEN_BY, WRITTEN_BY_TEXT, type WrittenBy } from '#src/posts/written-by.ts';

/** What creating a post adds to what was sent. */
export interface CreatedPost {
  readonly id: string;
  readonly slug: string;
  readonly create_time: Date;
}

/**
 * Creates posts in one statement, and returns those that it created. A post whose request id is there already is left
 * out. A call that comes while another one with the same request id is at work waits for its end.
 *
 * Of each post's slugs it takes the first that no live post has; one that is taken meanwhile breaks the unique index.
 *
 * The posts are one JSON parameter, so that the statement is the same for any number of them.
 */
export function createPostsQuery(posts: readonly NewPost[]): RawBuilder<CreatedPost & WrittenBy> {
  const input = JSON.stringify(
    posts.map(({ request, publishTime, slug, slugIfTaken, ...post }) => ({
      ...post,
      slugs: [slug, ...slugIfTaken],
      publish_time: publishTime,
      request_id: request?.id,
      digest: request && Buffer.from(request.digest).toString('hex'),
    })),
  );
  return sql<CreatedPost & WrittenBy>`
    with input as (
      select * from json_to_recordset(${input}) as post(
        id uuid, slugs text[], title text, content text, author text, tags text[], publish_time timestamptz,
        request_id uuid, digest text)
    ), chosen as (
      select input.*, ${slugOf(sql`slugs`, sql`true`)} as slug from input
    ), claimed as (
      insert into create_requests (request_id, digest, post_id, slug)
      select request_id, decode(digest, 'hex'), id, slug from chosen where request_id is not null
      on conflict (request_id) do nothing
      returning post_id
    )
    insert into posts (id, slug, title, content, author, tags, publish_time, create_time, update_time)
    select id, slug, title, content, author, tags, publish_time, now(), now() from chosen
    where request_id is null or id in (select post_id from claimed)
    returning id, slug, create_time, ${WRITTEN_BY}`;
}

/**
 * Creates one post that has no request id, for much less than `createPostsQuery` takes: nothing in it depends on a value, so Postgres plans it
 * once a connection. It gives no row where the slug is taken.
 */
export const CREATE_POST = {
  name: 'create-post',
  text: `
  insert into posts (id, slug, title, content, author, tags, publish_time, create_time, update_time)
  values ($1::uuid, $2, $3, $4, $5, $6::text[], $7::timestamptz, now(), now())
  on conflict (slug) where not deleted do nothing
  returning id, slug, create_time, ${WRITTEN_BY_TEXT}`,
};

/** For CREATE_POST. */
export function createPostParameters({ id, slug, title, content, author, tags, publishTime }: NewPost): unknown[] {
  return [id, slug, title, content, author, tags, publishTime?.toISOString() ?? null];
}

/**
 * The first of these slugs that no live post has, or else the first: which breaks the unique index. Where there is only one, nothing is looked up.
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

/** The post as it was when it had just been created. */
export function toCreatedPost(post: NewPost, created: CreatedPost): Post {
  return {
    id: created.id,
    slug: created.slug,
    title: post.title,
    content: post.content,
    author: post.author,
    tags: post.tags,
    publishTime: post.publishTime,
    createTime: created.create_time,
    updateTime: created.create_time,
    deleteTime: undefined,
    purgeTime: undefined,
    etag: formatEtag({ revision: '1', updateTime: created.create_time }),
  };
}
