import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

/** What was observed of the statements of a service, by polling every few milliseconds. */
export interface SeenStatements {
  readonly looks: number;
  /** Distinct statements that ran or waited for a lock. */
  readonly statements: number;
  /** Statements older than the limit. */
  readonly late: number;
  /** The age of the oldest, in milliseconds. */
  readonly oldestMs: number;
}

/** Polls the service's statements until `end` is called. `end` waits until none runs. */
export async function watchStatements(databaseUrl: string, limitMs: number) {
  const client = new pg.Client({ connectionString: databaseUrl, application_name: 'bench-watch' });
  await client.connect();
  const ages = new Map<string, number>();
  let looks = 0;
  let ending = false;
  const watching = (async () => {
    for (;;) {
      const { rows } = await client.query<{ id: string; age: number }>(LOOK);
      looks++;
      for (const { id, age } of rows) ages.set(id, Math.max(age, ages.get(id) ?? 0));
      if (ending && rows.length === 0) return;
      await delay(PAUSE_MS);
    }
  })();
  return {
    async end(): Promise<SeenStatements> {
      ending = true;
      await watching;
      await client.end();
      const seen = [...ages.values()];
      const late = seen.filter(age => age > limitMs).length;
      return { looks, statements: seen.length, late, oldestMs: Math.max(0, ...seen) };
    },
  };
}

const LOOK = `
  select pid || ' ' || query_start as id, (extract(epoch from clock_timestamp() - query_start) * 1000)::float8 as age
  from pg_stat_activity
  where datname = current_database() and application_name = 'postservice' and state <> 'idle'`;
const PAUSE_MS = 5;
