import pg from 'pg';

/** A lock that statements of a test wait for, so that they run for as long as the test wants. */
export interface AdvisoryLock extends AsyncDisposable {
  /** SQL that waits for the lock, and gives one row. Any number of statements may get past at once. */
  readonly sql: string;
  /** Lets all of them go on. */
  release(): Promise<void>;
  /** Resolves when so many statements wait. */
  untilWaiting(count: number): Promise<void>;
}

/** Takes a lock of its own, over a connection of its own. */
export async function takeAdvisoryLock(databaseUrl: string): Promise<AdvisoryLock> {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'advisory-lock' });
  await client.connect();
  const key = 1 + Math.floor(Math.random() * 2 ** 31);
  await client.query('select pg_advisory_lock($1)', [key]);
  return {
    sql: `select pg_advisory_xact_lock_shared(${key})`,
    release: async () => {
      await client.query('select pg_advisory_unlock($1)', [key]);
    },
    untilWaiting: async count => {
      for (let waiting = -1; waiting !== count; ) {
        const { rows } = await client.query<{ waiting: string }>(
          "select count(*) as waiting from pg_locks where locktype = 'advisory' and objid = $1::oid and not granted",
          [key],
        );
        waiting = Number(rows[0]?.waiting);
      }
    },
    [Symbol.asyncDispose]: () => client.end(),
  };
}
