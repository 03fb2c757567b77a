import pg from 'pg';

/** Looks at what the service's connections do in the database, from a connection of its own. */
export interface RunningQueries extends AsyncDisposable {
  /** How many statements of the service run, or wait for a lock. */
  count(): Promise<number>;
  /** For how long the oldest of them has run, in milliseconds; 0 where none runs. */
  oldestMs(): Promise<number>;
  /** Resolves when exactly this many do. */
  until(count: number): Promise<void>;
}

export async function watchRunningQueries(databaseUrl: string): Promise<RunningQueries> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'running-queries' });
  await client.connect();
  const look = async () => {
    const { rows } = await client.query<{ count: string; oldest: string }>(
      `select count(*), coalesce(extract(epoch from clock_timestamp() - min(query_start)) * 1000, 0) as oldest
       from pg_stat_activity
       where datname = current_database() and application_name = 'postservice' and state <> 'idle'`,
    );
    return { count: Number(rows[0]?.count), oldestMs: Number(rows[0]?.oldest) };
  };
  const count = async () => (await look()).count;
  return {
    count,
    oldestMs: async () => (await look()).oldestMs,
    until: async wanted => {
      while ((await count()) !== wanted);
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
}
