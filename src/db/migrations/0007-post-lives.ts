import { type Kysely, sql } from 'kysely';

/**
 * Names each life of the primary: the time in which it gives each transaction id out once. `post_changes_adopt` writes a new name
 * whenever it finds another life than the one that it wrote last; so a replica that shows the name has followed the primary into that life.
 *
 * It also writes the transaction that wrote the row. A dump, or a logical copy, has that number and is written by another transaction: so
 * a copy is known as one wherever it is loaded, even over the database that it was taken from.
 */
export async function up(db: Kysely<never>): Promise<void> {
  await sql`set local lock_timeout = '5s'`.execute(db);
  await sql`
    alter table post_changes_history add column life jsonb, add column life_id uuid, add column written_by xid8`.execute(
    db,
  );
  const { rows } = await sql<{ name: string }>`select current_schema() as name`.execute(db);
  const schema = sql.id(rows[0]?.name ?? 'public');
  // What it tells must not depend on who asks: all compare it with what the owner has written.
  await sql`alter function post_changes_life() security definer`.execute(db);
  await createAdopt(db, schema);
  // It does not notify, or no prepared transaction could truncate. Feeds look ten times a second.
  await sql`
    create or replace function post_changes_truncate() returns trigger language plpgsql set search_path = ${schema}, pg_temp as $$
    begin
      update post_changes_removed set truncate_xid = pg_current_xact_id(), truncate_id = gen_random_uuid();
      return null;
    end $$`.execute(db);
}

async function createAdopt(db: Kysely<never>, schema: ReturnType<typeof sql.id>): Promise<void> {
  await sql`
    create or replace function post_changes_adopt() returns text language plpgsql security definer
    set lock_timeout = '1s' set search_path = ${schema}, pg_temp as $$
    declare
      now_life jsonb;
      known record;
      is_foreign boolean;
    begin
      perform pg_advisory_xact_lock(${sql.lit(LOCK)});
      -- It says what this server is. No standby has to know before others may.
      perform set_config('synchronous_commit', 'local', true);
      now_life := post_changes_life();
      select h.*, h.xmin <> xid(h.written_by) as is_copied into strict known from post_changes_history h for update;
      select coalesce(greatest(
        (select c.xid from post_changes c order by c.xid desc, c.id desc limit 1), r.xid, r.last_xid, r.truncate_xid
      ) >= pg_snapshot_xmax(pg_current_snapshot()), false) into is_foreign from post_changes_removed r;
      is_foreign := is_foreign or coalesce(known.is_copied, false)
        or coalesce(now_life->>'system' <> known.system_identifier, false)
        or coalesce(now_life->>'database' <> known.database_oid, false);
      if known.life = now_life and not is_foreign and known.written_by is not null then
        return 'known';
      end if;
      if is_foreign then
        truncate post_changes;
        update post_changes_removed
        set xid = '0', last_xid = null, last_id = null, last_post_id = null, last_at = null;
        update post_changes_history set epoch = gen_random_uuid();
      end if;
      update post_changes_history set
        takes_old_tokens = takes_old_tokens and not is_foreign
          and not coalesce(now_life->>'timeline' <> known.timeline, false),
        system_identifier = coalesce(now_life->>'system', system_identifier),
        database_oid = now_life->>'database',
        timeline = coalesce(now_life->>'timeline', timeline),
        life = now_life,
        life_id = gen_random_uuid(),
        written_by = pg_current_xact_id();
      return case when is_foreign then 'reset' else 'adopted' end;
    end $$`.execute(db);
}

/** Of the adoption, among all advisory locks of the database: 'feed' in ASCII. */
const LOCK = 0x66_65_65_64;
