import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { DatabaseUnavailableError } from '#src/db/errors.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { aPost } from '#test/support/post-builder.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { failureOf } from '#test/support/rpc-failure.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';
import { startTestService } from '#test/support/test-service.ts';

let postgres: PrivatePostgres;
beforeAll(async () => {
  postgres = await startPrivatePostgres({ settings: { max_connections: '20' } });
});
afterAll(() => postgres?.[Symbol.asyncDispose]());

it('while another client has every connection, writes are refused in time and bounded number, and soon work again (R5)', async () => {
  const settings = { DATABASE_URL: postgres.url, DATABASE_ACQUIRE_TIMEOUT: '250ms', DATABASE_MAX_WAITING: '20' };
  await using service = await startTestService(settings);
  await service.client.createPost({ post: aPost() });
  const hog = await takeEveryConnection(postgres);
  // A first call, so that what is measured is no warm-up.
  await failureOf(service.client.createPost({ post: aPost() }));
  const took: number[] = [];
  const outcomes = await Promise.all(
    Array.from({ length: 100 }, async () => {
      const startedAt = performance.now();
      const failure = await failureOf(service.client.createPost({ post: aPost() }));
      took.push(performance.now() - startedAt);
      return failure;
    }),
  );
  for (const { code, reason } of outcomes) {
    expect({ code, reason }).toEqual({ code: 'unavailable', reason: 'DATABASE_UNAVAILABLE' });
  }
  // The same in the pool itself, without the clients' own time.
  const pool = new ConnectionPool(postgres.url, aDatabaseConfig({ acquireTimeoutMs: 250, maxWaiting: 20 }));
  const waited = await Promise.all(
    Array.from({ length: 100 }, async () => {
      const startedAt = performance.now();
      await expect(pool.acquire()).rejects.toThrow(DatabaseUnavailableError);
      return performance.now() - startedAt;
    }),
  );
  await pool.end();
  await hog.release();
  const releasedAt = performance.now();
  while (!(await works())) await sleep(20);
  console.log(
    `R5: 100 calls refused, the last after ${Math.max(...took).toFixed(0)} ms, by the pool alone ${Math.max(...waited).toFixed(0)} ms; a write works ${(performance.now() - releasedAt).toFixed(0)} ms after a connection is free`,
  );

  function works(): Promise<boolean> {
    return service.client.createPost({ post: aPost() }).then(
      () => true,
      () => false,
    );
  }
});

/** Ends all others, and takes connections until none is left. */
async function takeEveryConnection({ url, terminateBackends }: PrivatePostgres) {
  const taken: pg.Client[] = [];
  await terminateBackends();
  // Until it has all of them: what the service opens again meanwhile is ended, and leaves room for one more.
  for (let room = 1; taken.length < room; ) {
    const client = new pg.Client(url);
    client.on('error', () => {});
    try {
      await client.connect();
      taken.push(client);
      room = (await client.query<{ room: number }>(ROOM)).rows[0]?.room ?? 0;
    } catch {
      const pids = taken.map(one => (one as unknown as { processID: number }).processID);
      await taken[0]?.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where backend_type = 'client backend' and pid <> all($1)`,
        [pids],
      );
    }
  }
  return { release: () => Promise.all(taken.map(client => client.end())) };
}

/** How many connections there may be of this role. */
const ROOM = `
  select current_setting('max_connections')::int - case when rolsuper then 0
    else current_setting('superuser_reserved_connections')::int + current_setting('reserved_connections')::int end as room
  from pg_roles where rolname = current_user`;
