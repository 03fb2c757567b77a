import { randomInt } from 'node:crypto';
import { type Kysely, sql } from 'kysely';

/**
 * What lists in any state need to cost no more than their page: the shelf that a post stands on. Its indexes are built beside the writes,
 * by src/db/migrations/list-indexes.ts.
 *
 * A shelf is 6 for a deleted post, and 3 for one that was updated after its creation, and its state: 0 a draft, 1 waiting, 2 published. The
 * lists by update time find posts that were never updated by their creation, so those need one index less.
 *
 * No index can know the time, so "scheduled" and "published" are told apart as of the last write. A post waits if its publish time was to come
 * then, until `due_time` says that it has come: src/db/migrations/due-posts.ts sets it. Where the publish time is changed, the two differ again.
 */
export async function up(db: Kysely<never>): Promise<void> {
  // Of the connection, too; a pooler may have dropped it there.
  await sql`set local lock_timeout = '5s'`.execute(db);
  await sql`alter table posts add column due_time timestamptz(3)`.execute(db);
  await sql`alter table post_tags add column due_time timestamptz(3)`.execute(db);

  // Both are SQL of one expression, so that Postgres puts that in their place: a query and an index then have the same one.
  await sql`
    create function post_shelf(
      deleted boolean, publish_order timestamptz, create_time timestamptz, update_time timestamptz, due_time timestamptz
    ) returns int language sql immutable parallel safe as $$
      select case when deleted then 6 else 0 end
        + case when update_time = create_time then 0 else 3 end
        + case when publish_order = 'infinity' then 0
            when publish_order <= update_time or publish_order = due_time then 2
            else 1 end
    $$`.execute(db);
  // Keys of lists by author or tag are hashes: they are compared faster. The seed keeps others from making texts of one key.
  await sql`
    create function post_list_key(value text, list bigint) returns bigint language sql immutable parallel safe as $$
      select hashtextextended(value, list + ${sql.lit(randomInt(2 ** 47))})
    $$`.execute(db);

  const columns = sql.raw('tag, author, deleted, create_time, update_time, publish_order, due_time, post_id');
  const added = sql.raw(`
    select distinct u.tag, p.author, p.deleted, p.create_time, p.update_time, p.publish_order, p.due_time, p.id
    from added p cross join unnest(p.tags) as u (tag)`);
  await sql`
    create or replace function post_tags_add() returns trigger language plpgsql as $$
    begin
      insert into post_tags (${columns}) ${added};
      return null;
    end $$`.execute(db);
  await sql`
    create or replace function post_tags_replace() returns trigger language plpgsql as $$
    begin
      delete from post_tags t using removed p cross join unnest(p.tags) as u (tag)
      where t.post_id = p.id and t.tag = u.tag;
      insert into post_tags (${columns}) ${added};
      return null;
    end $$`.execute(db);
  await replaceChangesReplace(db);

  // To replace a function drops its settings.
  const { rows } = await sql<{ name: string }>`select current_schema() as name`.execute(db);
  const schema = sql.id(rows[0]?.name ?? 'public');
  for (const name of ['post_tags_add', 'post_tags_replace', 'post_changes_replace']) {
    await sql`alter function ${sql.id(name)}() set search_path = ${schema}, pg_temp`.execute(db);
  }
}

/** As 0002 has it, but that a post which has come due is no change: nobody can see that in the post. */
async function replaceChangesReplace(db: Kysely<never>): Promise<void> {
  const columns = ['slug', 'title', 'author', 'tags', 'publish_time', 'create_time', 'update_time', 'delete_time'];
  const all = [...columns, 'purge_time', 'revision'];
  const names = sql.join(all.map(name => sql.ref(name)));
  const either = sql.join(
    all.map(name => sql`case when a.id is null then ${sql.ref(`r.${name}`)} else ${sql.ref(`a.${name}`)} end`),
  );
  await sql`
    create or replace function post_changes_replace() returns trigger language plpgsql as $$
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
      from added a full join removed r using (id)
      where a.id is null or r.id is null or a.due_time is not distinct from r.due_time
      order by coalesce(a.id, r.id);
      return null;
    end $$`.execute(db);
}
