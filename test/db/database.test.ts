import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createDatabase, type Database } from '#src/db/database.ts';
import { DatabaseUnavailableError } from '#src/db/errors.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';

let postgres: PrivatePostgres;
let pool: ConnectionPool;
let db: Database;

beforeAll(async () => {
  postgres = await startPrivatePostgres();
  pool = new ConnectionPool(postgres.url, aDatabaseConfig({ poolMax: 2 }));
  db = createDatabase(pool);
  await sql`create table notes (text text)`.execute(db);
});

beforeEach(async () => {
  await sql`truncate notes`.execute(db);
});

afterAll(async () => {
  await db.destroy();
  await postgres[Symbol.asyncDispose]();
});

describe('createDatabase', () => {
  it('commits a transaction', async () => {
    await db.transaction().execute(async transaction => {
      await sql`insert into notes values ('kept')`.execute(transaction);
    });
    expect(await notes()).toEqual(['kept']);
  });

  it('rolls a transaction back when its work fails', async () => {
    const work = db.transaction().execute(async transaction => {
      await sql`insert into notes values ('lost')`.execute(transaction);
      throw new Error('no more');
    });
    await expect(work).rejects.toThrow('no more');
    expect(await notes()).toEqual([]);
  });

  it('does not take a failed transaction for a committed one', async () => {
    const work = db.transaction().execute(async transaction => {
      await sql`insert into notes values ('lost')`.execute(transaction);
      await sql`select 1 / 0`.execute(transaction).catch(() => {});
    });
    await expect(work).rejects.toThrow(/rolled back/);
    expect(await notes()).toEqual([]);
  });

  it('rolls back a transaction whose call is aborted, and gives its connection to the next', async () => {
    const call = new AbortController();
    const work = db.transaction().execute(async transaction => {
      await sql`insert into notes values ('lost')`.execute(transaction);
      setImmediate(() => call.abort(new Error('the client left')));
      await sql`select pg_sleep(60)`.execute(transaction, { signal: call.signal });
    });
    await expect(work).rejects.toThrow('the client left');
    expect(await notes()).toEqual([]);
    expect(pool.state.total).toBeLessThanOrEqual(2);
  });

  it('lives through backends that are killed while queries run and inside transactions', async () => {
    const inTransaction = Promise.withResolvers<void>();
    const killed = Promise.withResolvers<void>();
    const transaction = db.transaction().execute(async transaction => {
      await sql`insert into notes values ('lost')`.execute(transaction);
      inTransaction.resolve();
      await killed.promise;
      await sql`select 1`.execute(transaction);
    });
    const query = inTransaction.promise.then(() => sql`select pg_sleep(60)`.execute(db));
    let settled = false;
    const outcomes = Promise.allSettled([transaction, query]).finally(() => {
      settled = true;
    });
    await inTransaction.promise;
    expect(await postgres.terminateBackends()).toBeGreaterThan(0);
    killed.resolve();
    // The query's connection may be opened after the first ones were killed.
    while (!settled) await postgres.terminateBackends();
    for (const outcome of await outcomes) {
      expect(outcome).toMatchObject({ status: 'rejected', reason: { name: DatabaseUnavailableError.name } });
    }
    expect(await notes()).toEqual([]);
  });

  it('lets an aborted call go at once while Postgres is frozen, and works again afterwards', async () => {
    await notes();
    await postgres.freeze();
    const call = new AbortController();
    const query = sql`select 1`.execute(db, { signal: call.signal });
    setImmediate(() => call.abort(new Error('deadline')));
    await expect(query).rejects.toThrow('deadline');
    await postgres.thaw();
    expect(await notes()).toEqual([]);
  });

  it('gives up the connections that a frozen Postgres holds', async () => {
    await postgres.freeze();
    const calls = [new AbortController(), new AbortController()];
    const queries = calls.map(({ signal }) => sql`select 1`.execute(db, { signal }).catch(error => String(error)));
    setImmediate(() => {
      for (const call of calls) call.abort(new Error('deadline'));
    });
    await Promise.all(queries);
    while (pool.state.total > 0) await new Promise(resolve => setImmediate(resolve));
    await postgres.thaw();
    expect(await notes()).toEqual([]);
  });

  it('refuses queries while Postgres is stopped, and works again when it is back', async () => {
    await postgres.stopImmediately();
    await expect(notes()).rejects.toThrow(DatabaseUnavailableError);
    await postgres.start();
    await expect.poll(() => notes().catch(String)).toEqual([]);
  });
});

async function notes(): Promise<string[]> {
  const { rows } = await sql<{ text: string }>`select text from notes`.execute(db);
  return rows.map(row => row.text);
}
