import pg from 'pg';

/** Looks at what the service's connections do in the database, from a connection of its own. */
export interface RunningQueries extends AsyncDisposable {
  /** How many statements of the service run, or wait for a lock. */
  count(): Promise<number>;
  /** Resolves when exactly this many do. */
  until(count: number): Promise<void>;
}

export async function watchRunningQueries(databaseUrl: string): Promise<RunningQueries> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'running-queries' });
  await client.connect();
  const count = async () => {
    const { rows } = await client.query<{ count: string }>(
      `select count(*) from pg_stat_activity
       where datname = current_database() and application_name = 'postservice' and state <> 'idle'`,
    );
    return Number(rows[0]?.count);
  };
  return {
    count,
    until: async wanted => {
      while ((await count()) !== wanted);
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
}
