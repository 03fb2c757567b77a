import { type Kysely, sql } from 'kysely';

/**
 * A post whose publish time was to come when it was written, and of which nobody has noted since that it has come. The index `posts_waiting`
 * has them in the order of their publish times.
 */
export const IS_WAITING = sql<boolean>`(
  publish_order > update_time and publish_order < 'infinity' and due_time is distinct from publish_order)`;

/**
 * Notes of posts whose publish time has come that it has, so that lists find them among those that are published. Until then lists are right too,
 * but read all such posts.
 *
 * A post is left for a minute, so that a clock which is set back a little finds none that is early.
 *
 * @param limit the most posts to note; those that somebody is writing are left for the next time.
 * @returns how many.
 */
export async function noteDuePosts<Schema>(db: Kysely<Schema>, limit: number, signal?: AbortSignal): Promise<number> {
  const { rows } = await sql<{ noted: number }>`
    with due as (
      select id from posts where ${IS_WAITING} and publish_order <= now() - interval '1 minute'
      order by publish_order, id limit ${limit} for update skip locked
    ), noted as (
      update posts p set due_time = p.publish_order from due where p.id = due.id returning 1
    )
    select count(*)::int as noted from noted`.execute(db, { signal });
  return rows[0]?.noted ?? 0;
}
