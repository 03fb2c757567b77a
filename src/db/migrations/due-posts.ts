import { type Kysely, sql } from 'kysely';

/**
 * A post whose publish time lay in the future when it was written, and that has not been noted as due since. The index `posts_waiting` has such
 * posts in the order of their publish times.
 */
export const IS_WAITING = sql<boolean>`(
  publish_order > update_time and publish_order < 'infinity' and due_time is distinct from publish_order)`;

/**
 * Notes posts as due whose publish time has passed, so that lists find them among published posts. Before that, lists are right too, but read
 * all such posts.
 *
 * It waits for a minute after the publish time, so that a clock which is set back a little finds no early post.
 *
 * @param limit the most posts to note; posts that are being written are left for the next time.
 * @returns the number of posts noted.
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
