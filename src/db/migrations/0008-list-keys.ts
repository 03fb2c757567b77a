import { type Kysely, sql } from 'kysely';

/**
 * Keys of lists by author and tag no longer overflow. The key of the tag is any 64-bit number, and the seed is added to it: for one tag in
 * some thousands the sum was out of range, and posts with that tag were refused. All other keys stay as they are, and so do the indexes.
 */
export async function up(db: Kysely<never>): Promise<void> {
  await sql`set local lock_timeout = '5s'`.execute(db);
  const { rows } = await sql<{ seed: string | null }>`
    select substring(prosrc from 'list \\+ (\\d+)') as seed from pg_proc where oid = 'post_list_key(text, bigint)'::regprocedure`.execute(
    db,
  );
  const seed = rows[0]?.seed;
  if (seed == null)
    throw new Error('the function post_list_key is not that of 0005-list-shelves: its seed is not to be found');
  const added = sql.lit(Number(seed));
  await sql`
    create or replace function post_list_key(value text, list bigint) returns bigint language sql immutable parallel safe as $$
      select hashtextextended(value, case when list > 9223372036854775807 - ${added} then list - ${added} else list + ${added} end)
    $$`.execute(db);
}
