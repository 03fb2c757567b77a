import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { query } from '#test/support/query.ts';
import { startReplica, type TestReplica } from '#test/support/replica.ts';

let primary: PrivatePostgres;
let replica: TestReplica;
beforeAll(async () => {
  primary = await startPrivatePostgres();
  await query(primary.url, 'create table written (n int)');
  replica = await startReplica(primary.url);
});
afterAll(async () => {
  await replica?.[Symbol.asyncDispose]();
  await primary?.[Symbol.asyncDispose]();
});

describe('startReplica', () => {
  it('has what its primary writes, once it has caught up', async () => {
    expect(await query(replica.url, 'select pg_is_in_recovery() as replica')).toEqual([{ replica: true }]);
    await write(1);
    await replica.catchUp();
    expect(await last()).toBe(1);
  });

  it('takes no writes', async () => {
    await expect(query(replica.url, 'insert into written values (0)')).rejects.toMatchObject({ code: '25006' });
  });

  it('stands still while its replay is paused', async () => {
    await replica.pauseReplay();
    const before = await last();
    await write(2);
    await received();
    expect(await last()).toBe(before);
    await replica.resumeReplay();
    await replica.catchUp();
    expect(await last()).toBe(2);
  });

  it('replays after the delay that it is given', async () => {
    await replica.setReplayDelay(600_000);
    await write(3);
    await received();
    expect(await last()).toBe(2);
    await replica.setReplayDelay(0);
    await replica.catchUp();
    expect(await last()).toBe(3);
  });

  it('comes back on the same URL after it was killed, with what was written meanwhile', async () => {
    await replica.kill();
    await expect(last()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await write(4);
    await replica.start();
    await replica.catchUp();
    expect(await last()).toBe(4);
  });

  it('answers nothing while it is frozen, and everything once it is thawed', async () => {
    await replica.freeze();
    const stuck = new pg.Client({ connectionString: replica.url, connectionTimeoutMillis: 300 });
    await expect(stuck.connect()).rejects.toThrow(/timeout/);
    await replica.thaw();
    expect(await last()).toBe(4);
  });

  it('becomes a server of its own', async () => {
    await using other = await startReplica(primary.url);
    await other.promote();
    await query(other.url, 'insert into written values (5)');
    expect(await query(other.url, 'select max(n) as n from written')).toEqual([{ n: 5 }]);
  });
});

async function write(n: number): Promise<void> {
  await query(primary.url, `insert into written values (${n})`);
}

async function last(): Promise<unknown> {
  const [row] = (await query(replica.url, 'select max(n) as n from written')) as { n: number }[];
  return row?.n;
}

/** Resolves when the replica has got, though not replayed, all that the primary has written by now. */
async function received(): Promise<void> {
  const [row] = (await query(primary.url, 'select pg_current_wal_insert_lsn() as lsn, pg_log_standby_snapshot()')) as {
    lsn: string;
  }[];
  const sql = `select pg_last_wal_receive_lsn() >= '${row?.lsn}' as received`;
  while (!((await query(replica.url, sql)) as { received: boolean }[])[0]?.received);
}
