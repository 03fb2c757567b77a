import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';

describe('startPrivatePostgres', () => {
  let postgres: PrivatePostgres;
  beforeAll(async () => {
    postgres = await startPrivatePostgres({ settings: { max_connections: '17' } });
  });
  afterAll(() => postgres[Symbol.asyncDispose]());

  it('takes settings', async () => {
    await using client = await connected(postgres.url);
    expect((await client.query('show max_connections')).rows).toEqual([{ max_connections: '17' }]);
  });

  it('ends every connection with terminateBackends, and takes new ones', async () => {
    await using one = await connected(postgres.url);
    await using two = await connected(postgres.url);
    const ends = [one, two].map(client => new Promise(resolve => client.once('end', resolve)));
    expect(await postgres.terminateBackends()).toBe(2);
    await Promise.all(ends);
    await using next = await connected(postgres.url);
    expect((await next.query('select 1 as alive')).rows).toEqual([{ alive: 1 }]);
  });

  it('answers nothing while it is frozen, and everything once it is thawed', async () => {
    await using client = await connected(postgres.url);
    await postgres.freeze();
    let answered = false;
    const answer = client.query('select 1 as alive').then(({ rows }) => {
      answered = true;
      return rows;
    });
    // The network answers a new connection, Postgres does not.
    const stuck = new pg.Client({ connectionString: postgres.url, connectionTimeoutMillis: 300 });
    await expect(stuck.connect()).rejects.toThrow(/timeout/);
    expect(answered).toBe(false);
    await postgres.thaw();
    expect(await answer).toEqual([{ alive: 1 }]);
  });

  it('comes back on the same URL after an immediate stop, with what was committed', async () => {
    await using client = await connected(postgres.url);
    await client.query(`set synchronous_commit = on; create table kept as select 'still here' as words`);
    await postgres.stopImmediately();
    await expect(connected(postgres.url)).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await postgres.start();
    await using next = await connected(postgres.url);
    expect((await next.query('select words from kept')).rows).toEqual([{ words: 'still here' }]);
  });

  it('can be disposed of while it is frozen', async () => {
    const other = await startPrivatePostgres();
    const pid = await other.pid();
    await other.freeze();
    await other[Symbol.asyncDispose]();
    expect(() => process.kill(pid, 0)).toThrow('ESRCH');
  });
});

async function connected(url: string): Promise<pg.Client & AsyncDisposable> {
  const client = new pg.Client(url);
  client.on('error', () => {});
  await client.connect();
  return Object.assign(client, { [Symbol.asyncDispose]: () => client.end() });
}
