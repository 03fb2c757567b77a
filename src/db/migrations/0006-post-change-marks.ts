import { type Kysely, sql } from 'kysely';

/**
 * Where a reader who is far behind begins in the change feed, without a look at what it has read: a mark says that the changes of every
 * transaction after `xid` have ids after `id`.
 *
 * That holds because of the order of two events: the mark's transaction reads which id was given out last, and only then gets an id of its
 * own. So any transaction with a later id began to write after that reading, and a change gets its id when its transaction has one.
 * A mark that is lost, in a crash or a fail-over, costs readers some time and nothing else.
 */
export async function up(db: Kysely<never>): Promise<void> {
  await sql`set local lock_timeout = '5s'`.execute(db);
  await sql`create table post_changes_marks (xid xid8 primary key, id bigint not null)`.execute(db);

  // With its owner's rights, since no other role needs to read the sequence.
  await sql`
    create function post_changes_mark(distance bigint) returns boolean language plpgsql security definer as $$
    declare
      given bigint;
    begin
      -- Its transaction has an id already, or may have none.
      if pg_current_xact_id_if_assigned() is not null or current_setting('transaction_read_only') = 'on' then
        return false;
      end if;
      given := coalesce(pg_sequence_last_value(pg_get_serial_sequence('post_changes', 'id')::regclass), 0);
      if given < coalesce((select max(m.id) from post_changes_marks m), 0) + distance then
        return false;
      end if;
      insert into post_changes_marks (xid, id) values (pg_current_xact_id(), given);
      -- Readers who began before the changes that were removed are refused, so of the marks from before only the last one serves.
      delete from post_changes_marks where xid < (
        select max(m.xid) from post_changes_marks m, post_changes_removed r where m.xid <= r.xid
      );
      return true;
    end $$`.execute(db);

  // Of a database that was restored from another one: ids of transactions mean others there.
  await sql`
    create function post_changes_marks_clear() returns trigger language plpgsql as $$
    begin
      delete from post_changes_marks;
      return null;
    end $$`.execute(db);
  await sql`
    create trigger post_changes_marks_clear after truncate on post_changes
    for each statement execute function post_changes_marks_clear()`.execute(db);

  const { rows } = await sql<{ name: string }>`select current_schema() as name`.execute(db);
  const schema = sql.id(rows[0]?.name ?? 'public');
  await sql`alter function post_changes_mark(bigint) set search_path = ${schema}, pg_temp`.execute(db);
  await sql`alter function post_changes_marks_clear() set search_path = ${schema}, pg_temp`.execute(db);
}
