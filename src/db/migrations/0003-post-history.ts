import { type Kysely, sql } from 'kysely';

/**
 * What tells one history of the posts from another. Postgres gives a transaction id out again after a crash, after a fail-over, and in a
 * restored copy. So a place in the change feed names the last change that it has seen, and the epoch of the database.
 *
 * - `post_changes_history` has the epoch, and the identity of the cluster that it belongs to.
 * - `post_changes_removed` keeps the last change that was removed, and the last truncation, so that places behind them can be proved.
 * - `post_changes_adopt` begins a new epoch in a database that was restored from, or merged with, another one.
 */
export async function up(db: Kysely<never>): Promise<void> {
  // The last change is looked for at each reading of the feed. It serves what the index on `xid` alone served.
  await sql`create index post_changes_place on post_changes (xid, id)`.execute(db);
  await sql`drop index post_changes_xid`.execute(db);

  await sql`
    create table post_changes_history (
      single_row boolean primary key default true check (single_row),
      epoch uuid not null default gen_random_uuid(),
      takes_old_tokens boolean not null default true,
      system_identifier text,
      database_oid text,
      timeline text
    )`.execute(db);
  await sql`insert into post_changes_history default values`.execute(db);
  await sql`
    alter table post_changes_removed
      add column truncate_id uuid,
      add column last_xid xid8, add column last_id bigint, add column last_post_id uuid, add column last_at timestamptz(3)
  `.execute(db);

  await sql`
    create function post_changes_removed_last() returns trigger language plpgsql as $$
    begin
      update post_changes_removed r
      set xid = greatest(r.xid, g.xid), last_xid = g.xid, last_id = g.id, last_post_id = g.post_id, last_at = g.at
      from (select xid, id, post_id, at from gone order by xid desc, id desc limit 1) g
      where r.last_xid is null or r.last_xid < g.xid or (r.last_xid = g.xid and r.last_id < g.id);
      return null;
    end $$`.execute(db);
  await sql`
    create trigger post_changes_removed_last after delete on post_changes
    referencing old table as gone for each statement execute function post_changes_removed_last()`.execute(db);

  // Others see a change as soon as it is committed, so it must not be lost in a crash after that.
  await sql`
    create function post_changes_durable() returns trigger language plpgsql as $$
    begin
      if current_setting('synchronous_commit') = 'off' then
        perform set_config('synchronous_commit', 'local', true);
      end if;
      return null;
    end $$`.execute(db);
  await sql`
    create trigger post_changes_durable before insert or delete or truncate on post_changes
    for each statement execute function post_changes_durable()`.execute(db);
  await sql`
    create trigger post_changes_durable before truncate on posts
    for each statement execute function post_changes_durable()`.execute(db);

  // A statement that truncates both tables has emptied this one already, and may not truncate it again.
  await sql`
    create function post_tags_truncate() returns trigger language plpgsql as $$
    begin
      if exists (select from post_tags) then
        truncate post_tags;
      end if;
      return null;
    end $$`.execute(db);
  await sql`
    create trigger post_tags_truncate after truncate on posts
    for each statement execute function post_tags_truncate()`.execute(db);
  await sql`
    create or replace function post_changes_truncate() returns trigger language plpgsql as $$
    begin
      update post_changes_removed set truncate_xid = pg_current_xact_id(), truncate_id = gen_random_uuid();
      perform pg_notify('post_changes', '');
      return null;
    end $$`.execute(db);
  await sql`
    create trigger post_changes_truncate after truncate on post_changes
    for each statement execute function post_changes_truncate()`.execute(db);

  await createLife(db);
  await createAdopt(db);

  const { rows } = await sql<{ name: string }>`select current_schema() as name`.execute(db);
  const schema = sql.id(rows[0]?.name ?? 'public');
  // A dump is loaded, and a function with its owner's rights runs, whatever the search path of the session is.
  for (const name of FUNCTIONS) {
    await sql`alter function ${sql.id(name)}() set search_path = ${schema}, pg_temp`.execute(db);
  }
}

/**
 * What changes whenever transaction ids may be given out again. A service of a cloud may refuse any part of it, which is unknown then.
 * The checkpoint's timeline lags for seconds after a promotion; only the statistics tell of a crash of one backend.
 */
async function createLife(db: Kysely<never>): Promise<void> {
  await sql`
    create function post_changes_timeline() returns bigint language plpgsql as $$
    begin
      return ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint;
    exception when insufficient_privilege or feature_not_supported or undefined_function or object_not_in_prerequisite_state
      then return null;
    end $$`.execute(db);
  await sql`
    create function post_changes_life() returns jsonb language plpgsql as $$
    declare
      life jsonb := jsonb_build_object('database', (select d.oid::text from pg_database d where datname = current_database()));
    begin
      begin
        life := life || jsonb_build_object('system', (select s.system_identifier::text from pg_control_system() s));
      exception when insufficient_privilege or feature_not_supported or undefined_function then null;
      end;
      life := life || jsonb_build_object('timeline', post_changes_timeline()::text);
      begin
        life := life || jsonb_build_object('started', extract(epoch from pg_postmaster_start_time())::text);
      exception when insufficient_privilege or feature_not_supported or undefined_function then null;
      end;
      begin
        life := life || jsonb_build_object('reset', (select extract(epoch from b.stats_reset)::text from pg_stat_bgwriter b));
      exception when insufficient_privilege or feature_not_supported or undefined_function or undefined_table then null;
      end;
      return life;
    end $$`.execute(db);
}

/** With its owner's rights, since it truncates; anybody may call it, since it changes nothing where nothing is foreign. */
async function createAdopt(db: Kysely<never>): Promise<void> {
  await sql`
    create function post_changes_adopt() returns text language plpgsql security definer set lock_timeout = '1s' as $$
    declare
      life jsonb;
      known post_changes_history;
      is_foreign boolean;
    begin
      perform pg_advisory_xact_lock(${sql.lit(LOCK)});
      life := post_changes_life();
      select * into strict known from post_changes_history for update;
      select coalesce(greatest(
        (select c.xid from post_changes c order by c.xid desc, c.id desc limit 1), r.xid, r.last_xid, r.truncate_xid
      ) >= pg_snapshot_xmax(pg_current_snapshot()), false) into is_foreign from post_changes_removed r;
      is_foreign := is_foreign or coalesce(life->>'system' <> known.system_identifier, false)
        or coalesce(life->>'database' <> known.database_oid, false);
      if is_foreign then
        truncate post_changes;
        update post_changes_removed
        set xid = '0', last_xid = null, last_id = null, last_post_id = null, last_at = null;
        update post_changes_history set epoch = gen_random_uuid();
      end if;
      update post_changes_history set
        takes_old_tokens = takes_old_tokens and not is_foreign
          and not coalesce(life->>'timeline' <> known.timeline, false),
        system_identifier = coalesce(life->>'system', system_identifier),
        database_oid = life->>'database',
        timeline = coalesce(life->>'timeline', timeline);
      return case when is_foreign then 'reset' else 'adopted' end;
    end $$`.execute(db);
}

/** All of the triggers' and the feed's. */
const FUNCTIONS = [
  ...['post_tags_add', 'post_tags_remove', 'post_tags_replace', 'post_tags_truncate'],
  ...['post_changes_add', 'post_changes_remove', 'post_changes_replace', 'post_changes_truncate'],
  ...[
    'post_changes_removed_last',
    'post_changes_durable',
    'post_changes_timeline',
    'post_changes_life',
    'post_changes_adopt',
  ],
];
/** Of the adoption, among all advisory locks of the database: 'feed' in ASCII. */
const LOCK = 0x66_65_65_64;
