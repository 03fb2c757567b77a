import pg from 'pg';

/** Holds all rows of `posts` as another writer does, so that every write to them waits; disposing of it lets them go. */
export async function lockPosts(databaseUrl: string): Promise<AsyncDisposable> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'lock-posts' });
  await client.connect();
  // Reads pass; inserts, updates and deletes wait.
  await client.query('begin');
  await client.query('lock table posts in exclusive mode');
  return { [Symbol.asyncDispose]: () => client.end() };
}
