import { type Kysely, sql } from 'kysely';

/**
 * The change feed: one row for each change of a post. Triggers write it in the writer's own transaction, so a change is there exactly if it
 * was committed, and so are edits by hand.
 *
 * `xid` is that transaction. Neither it nor `id` is the order of commits; readers take what has become visible between two
 * snapshots of theirs, which is exact (src/db/snapshot.ts). The rows of one post are in the order of its writes by `id`, since each
 * writer holds the post's lock when it takes one.
 *
 * The triggers do not NOTIFY: Postgres lets one transaction that does commit at a time, which took two thirds of the writes a second from
 * 8 writers, and more from 32 (`npm run bench feed`). Instances notify each other after their commits instead.
 */
export async function up(db: Kysely<never>): Promise<void> {
  await sql`
    create table post_changes (
      id bigint generated always as identity primary key,
      xid xid8 not null default pg_current_xact_id(),
      at timestamptz(3) not null default now(),
      kind text not null check (kind in ('created', 'updated', 'deleted', 'undeleted', 'purged')),
      post_id uuid not null,
      slug text collate "C" not null,
      title text not null,
      author text collate "C" not null,
      tags text[] not null,
      publish_time timestamptz(3),
      create_time timestamptz(3) not null,
      update_time timestamptz(3) not null,
      delete_time timestamptz(3),
      purge_time timestamptz(3),
      revision bigint not null,
      previous_slug text collate "C",
      previous_author text collate "C",
      previous_tags text[]
    )`.execute(db);
  await sql`create index post_changes_xid on post_changes (xid)`.execute(db);

  // A reader that was last here when a transaction up to `xid` had not ended may miss changes that were removed for their age. A reader
  // that has not seen the last truncation misses what it truncated.
  await sql`
    create table post_changes_removed (
      single_row boolean primary key default true check (single_row),
      xid xid8 not null,
      truncate_xid xid8
    )`.execute(db);
  await sql`insert into post_changes_removed (xid) values ('0')`.execute(db);

  // A row that is there before only was removed; one that is there after only was created.
  const columns = ['slug', 'title', 'author', 'tags', 'publish_time', 'create_time', 'update_time', 'delete_time'];
  const all = [...columns, 'purge_time', 'revision'];
  const names = sql.join(all.map(name => sql.ref(name)));
  const of = (table: string) => sql.join(all.map(name => sql.ref(`${table}.${name}`)));
  const either = sql.join(
    all.map(name => sql`case when a.id is null then ${sql.ref(`r.${name}`)} else ${sql.ref(`a.${name}`)} end`),
  );
  await sql`
    create function post_changes_add() returns trigger language plpgsql as $$
    begin
      insert into post_changes (kind, post_id, ${names})
      select case when a.delete_time is null then 'created' else 'deleted' end, a.id, ${of('a')} from added a order by a.id;
      return null;
    end $$`.execute(db);
  await sql`
    create function post_changes_remove() returns trigger language plpgsql as $$
    begin
      insert into post_changes (kind, post_id, ${names}, previous_slug, previous_author, previous_tags)
      select 'purged', r.id, ${of('r')}, r.slug, r.author, r.tags from removed r order by r.id;
      return null;
    end $$`.execute(db);
  await sql`
    create function post_changes_replace() returns trigger language plpgsql as $$
    begin
      insert into post_changes (kind, post_id, ${names}, previous_slug, previous_author, previous_tags)
      select
        case
          when a.id is null then 'purged'
          when r.id is null then 'created'
          when a.deleted and not r.deleted then 'deleted'
          when r.deleted and not a.deleted then 'undeleted'
          else 'updated'
        end,
        coalesce(a.id, r.id), ${either}, r.slug, r.author, r.tags
      from added a full join removed r using (id) order by coalesce(a.id, r.id);
      return null;
    end $$`.execute(db);
  await sql`
    create trigger post_changes_add after insert on posts
    referencing new table as added for each statement execute function post_changes_add()`.execute(db);
  await sql`
    create trigger post_changes_remove after delete on posts
    referencing old table as removed for each statement execute function post_changes_remove()`.execute(db);
  await sql`
    create trigger post_changes_replace after update on posts
    referencing old table as removed new table as added for each statement execute function post_changes_replace()`.execute(
    db,
  );

  // Of a truncation no row tells: readers are told that they have missed changes.
  await sql`
    create function post_changes_truncate() returns trigger language plpgsql as $$
    begin
      truncate post_tags;
      update post_changes_removed set truncate_xid = pg_current_xact_id();
      perform pg_notify('post_changes', '');
      return null;
    end $$`.execute(db);
  await sql`
    create trigger post_changes_truncate after truncate on posts
    for each statement execute function post_changes_truncate()`.execute(db);
}
