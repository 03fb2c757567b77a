import { type Kysely, sql } from 'kysely';

/**
 * The posts, what lists by tag need, and the request ids.
 *
 * Every list index begins with its filter and ends with an order and the id, so that a page is one range of one index,
 * wherever it stands. Only the state is no part of most indexes: published posts in the order of their creation, for
 * one, are filtered on the way along the list of all.
 */
export async function up(db: Kysely<never>): Promise<void> {
  await sql`
    create table posts (
      id uuid primary key,
      slug text collate "C" not null,
      title text not null,
      content text not null,
      author text collate "C" not null,
      tags text[] not null,
      publish_time timestamptz(3),
      create_time timestamptz(3) not null,
      update_time timestamptz(3) not null,
      delete_time timestamptz(3),
      purge_time timestamptz(3),
      revision bigint not null default 1,
      deleted boolean not null generated always as (delete_time is not null) stored,
      publish_order timestamptz(3) not null generated always as (coalesce(publish_time, 'infinity')) stored
    )`.execute(db);

  await sql`create unique index posts_live_slug on posts (slug) where not deleted`.execute(db);
  await sql`create index posts_deleted_slug on posts (slug, delete_time, id) where deleted`.execute(db);
  await sql`create index posts_purge_time on posts (purge_time) where deleted`.execute(db);

  for (const order of ['create_time', 'update_time', 'publish_order']) {
    const column = sql.ref(order);
    await sql`create index ${sql.ref(`posts_${order}`)} on posts (deleted, ${column}, id)`.execute(db);
    await sql`create index ${sql.ref(`posts_author_${order}`)} on posts (author, deleted, ${column}, id)`.execute(db);
  }
  for (const order of ['create_time', 'update_time']) {
    await sql`
      create index ${sql.ref(`posts_draft_${order}`)} on posts (deleted, ${sql.ref(order)}, id)
      where publish_time is null`.execute(db);
  }

  await sql`
    create table post_tags (
      tag text collate "C" not null,
      author text collate "C" not null,
      deleted boolean not null,
      create_time timestamptz(3) not null,
      update_time timestamptz(3) not null,
      publish_order timestamptz(3) not null,
      post_id uuid not null,
      primary key (post_id, tag)
    )`.execute(db);
  for (const order of ['create_time', 'update_time', 'publish_order']) {
    const column = sql.ref(order);
    await sql`create index ${sql.ref(`post_tags_${order}`)} on post_tags (tag, deleted, ${column}, post_id)`.execute(
      db,
    );
    await sql`
      create index ${sql.ref(`post_tags_author_${order}`)} on post_tags (author, tag, deleted, ${column}, post_id)`.execute(
      db,
    );
  }

  // Triggers rather than the service, so that rows edited by hand are listed rightly too. They run once a statement.
  await sql`
    create function post_tags_add() returns trigger language plpgsql as $$
    begin
      insert into post_tags (tag, author, deleted, create_time, update_time, publish_order, post_id)
      select distinct u.tag, p.author, p.deleted, p.create_time, p.update_time, p.publish_order, p.id
      from added p cross join unnest(p.tags) as u (tag);
      return null;
    end $$`.execute(db);
  await sql`
    create function post_tags_remove() returns trigger language plpgsql as $$
    begin
      delete from post_tags t using removed p cross join unnest(p.tags) as u (tag)
      where t.post_id = p.id and t.tag = u.tag;
      return null;
    end $$`.execute(db);
  await sql`
    create function post_tags_replace() returns trigger language plpgsql as $$
    begin
      delete from post_tags t using removed p cross join unnest(p.tags) as u (tag)
      where t.post_id = p.id and t.tag = u.tag;
      insert into post_tags (tag, author, deleted, create_time, update_time, publish_order, post_id)
      select distinct u.tag, p.author, p.deleted, p.create_time, p.update_time, p.publish_order, p.id
      from added p cross join unnest(p.tags) as u (tag);
      return null;
    end $$`.execute(db);
  await sql`
    create trigger post_tags_add after insert on posts
    referencing new table as added for each statement execute function post_tags_add()`.execute(db);
  await sql`
    create trigger post_tags_remove after delete on posts
    referencing old table as removed for each statement execute function post_tags_remove()`.execute(db);
  await sql`
    create trigger post_tags_replace after update on posts
    referencing old table as removed new table as added for each statement execute function post_tags_replace()`.execute(
    db,
  );

  await sql`
    create table create_requests (
      request_id uuid primary key,
      digest bytea not null,
      post_id uuid not null,
      slug text not null,
      create_time timestamptz(3) not null default now()
    )`.execute(db);
  await sql`create index create_requests_create_time on create_requests (create_time)`.execute(db);
}
