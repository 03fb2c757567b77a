import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { type RunningQueries, watchRunningQueries } from '#test/support/running-queries.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';

let database: TestDatabase;
let pool: ConnectionPool;
let queries: RunningQueries;

beforeEach(async () => {
  database = await createTestDatabase({ migrated: false });
  pool = new ConnectionPool(database.url, aDatabaseConfig());
  queries = await watchRunningQueries(database.url);
});
afterEach(async () => {
  await pool.end();
  await queries[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

describe('an aborted statement', () => {
  it('is cancelled also where the request to cancel overtakes it', async () => {
    const connection = await pool.acquire();
    const pid = async () => Number((await connection.query('select pg_backend_pid() as pid', []))?.rows[0].pid);
    const backend = await pid();
    const aborting = new AbortController();
    // While the backend is stopped, the statement waits in its socket, and the first requests for its next moment awake:
    // it then finds that there is nothing to cancel yet.
    process.kill(backend, 'SIGSTOP');
    const statement = connection.query('select pg_sleep(3600)', [], aborting.signal);
    aborting.abort();
    await sleep(50);
    process.kill(backend, 'SIGCONT');
    expect(await statement).toBeUndefined();
    expect(await queries.count()).toBe(0);
    expect(await pid()).toBe(backend);
    connection.release();
  });
});
