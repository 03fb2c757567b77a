import { setTimeout as sleep } from 'node:timers/promises';
import { type Kysely, sql } from 'kysely';
import { IS_WAITING } from '#src/db/migrations/due-posts.ts';

/**
 * Builds the missing indexes of lists, while reads and writes go on. Each index begins with a list, and ends with an order and the id. So every
 * page is a range of it.
 *
 * One process at a time builds, and others wait. An interrupted build is repeated.
 */
export async function buildListIndexes(db: Kysely<never>): Promise<void> {
  await alone(db, async () => {
    for (const [name, definition] of Object.entries(INDEXES)) {
      const state = await sql<{ valid: boolean }>`
        select indisvalid as valid from pg_index where indexrelid = to_regclass(${name})`.execute(db);
      if (state.rows[0]?.valid === true) continue;
      await sql`drop index concurrently if exists ${sql.id(name)}`.execute(db);
      await sql`create index concurrently ${sql.id(name)} on ${definition}`.execute(db);
    }
  });
}

/** Drops indexes that only older releases read. Reads and writes go on meanwhile. */
export async function dropOldListIndexes(db: Kysely<never>): Promise<void> {
  await alone(db, async () => {
    for (const name of OLD_INDEXES) await sql`drop index concurrently if exists ${sql.id(name)}`.execute(db);
  });
}

/** Holds an advisory lock in its own transaction. It polls for the lock, because a waiting statement would block the build. */
async function alone(db: Kysely<never>, work: () => Promise<void>): Promise<void> {
  await db.transaction().execute(async transaction => {
    await sql`set local idle_in_transaction_session_timeout = 0`.execute(transaction);
    for (;;) {
      const { rows } = await sql<{ mine: boolean }>`select pg_try_advisory_xact_lock(${sql.lit(LOCK)}) as mine`.execute(
        transaction,
      );
      if (rows[0]?.mine) return work();
      await sleep(POLL_MS);
    }
  });
}

const POSTS_SHELF = sql`post_shelf(deleted, publish_order, create_time, update_time, due_time)`;
const INDEXES = {
  posts_shelf_create_time: sql`posts (${POSTS_SHELF}, create_time, id)`,
  posts_shelf_update_time: sql`posts (${POSTS_SHELF}, update_time, id) where update_time <> create_time`,
  posts_author_shelf_create_time: sql`posts (post_list_key(author, ${POSTS_SHELF}), create_time, id)`,
  posts_author_shelf_update_time: sql`
    posts (post_list_key(author, ${POSTS_SHELF}), update_time, id) where update_time <> create_time`,
  posts_author_key_publish_order: sql`posts (post_list_key(author, deleted::int), publish_order, id)`,
  posts_waiting: sql`posts (publish_order, id) where ${IS_WAITING}`,
  ...tagIndexes('post_tags', list => sql`post_list_key(tag, ${list})`),
  ...tagIndexes('post_tags_author', list => sql`post_list_key(author, post_list_key(tag, ${list}))`),
};

function tagIndexes(prefix: string, keyOf: (list: ReturnType<typeof sql>) => ReturnType<typeof sql>) {
  const shelf = keyOf(POSTS_SHELF);
  return {
    [`${prefix}_shelf_create_time`]: sql`post_tags (${shelf}, create_time, post_id)`,
    [`${prefix}_shelf_update_time`]: sql`post_tags (${shelf}, update_time, post_id) where update_time <> create_time`,
    [`${prefix}_key_publish_order`]: sql`post_tags (${keyOf(sql`deleted::int`)}, publish_order, post_id)`,
  };
}

const OLD_INDEXES = [
  ...['posts_update_time', 'posts_draft_create_time', 'posts_draft_update_time'],
  ...['posts_author_create_time', 'posts_author_update_time', 'posts_author_publish_order'],
  ...['post_tags_create_time', 'post_tags_update_time', 'post_tags_publish_order'],
  ...['post_tags_author_create_time', 'post_tags_author_update_time', 'post_tags_author_publish_order'],
];
/** The advisory lock of the build: 'list' in ASCII. */
const LOCK = 0x6c_69_73_74;
const POLL_MS = 100;
