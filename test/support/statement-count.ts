import pg from 'pg';

/** Settings of a Postgres that counts its statements. */
export const COUNTING_SETTINGS = { shared_preload_libraries: 'pg_stat_statements' };

/** What reads of posts by id are like, of one or of several at once. */
export const READS_BY_ID = '%left join posts p on p.id = %';

/** Counts how often statements ran in a Postgres with COUNTING_SETTINGS, from a connection of its own. */
export interface StatementCount extends AsyncDisposable {
  /** How many statements whose text is like this pattern of SQL have run since `reset`. */
  like(pattern: string): Promise<number>;
  reset(): Promise<void>;
}

export async function countStatements(databaseUrl: string): Promise<StatementCount> {
  const client = new pg.Client(databaseUrl);
  await client.connect();
  await client.query('create extension if not exists pg_stat_statements');
  return {
    like: async pattern => {
      const { rows } = await client.query<{ calls: string }>(
        'select coalesce(sum(calls), 0) as calls from pg_stat_statements where query like $1',
        [pattern],
      );
      return Number(rows[0]?.calls);
    },
    reset: async () => {
      await client.query('select pg_stat_statements_reset()');
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
}
