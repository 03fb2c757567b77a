import pg from 'pg';

/**
 * Holds all rows of `posts` as another writer does, so that every write to them waits; disposing of it lets them go.
 *
 * @param mode `access exclusive`: reads wait too.
 */
export async function lockPosts(
  databaseUrl: string,
  mode: 'exclusive' | 'access exclusive' = 'exclusive',
): Promise<AsyncDisposable> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'lock-posts' });
  await client.connect();
  await client.query('begin');
  await client.query(`lock table posts in ${mode} mode`);
  return { [Symbol.asyncDispose]: () => client.end() };
}

/** Resolves when as many statements wait for a lock in this database. */
export async function untilSomebodyWaits(databaseUrl: string, count = 1): Promise<void> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'lock-posts' });
  await client.connect();
  try {
    for (let waiting = 0; waiting < count; ) {
      const { rows } = await client.query<{ waiting: string }>(
        `select count(*) as waiting from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock'`,
      );
      waiting = Number(rows[0]?.waiting);
    }
  } finally {
    await client.end();
  }
}
