import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { DatabaseUnavailableError } from '#src/db/errors.ts';
import { startGarblingProxy } from '#test/support/garbling-proxy.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { query } from '#test/support/query.ts';
import { startTcpProxy, type TcpProxy } from '#test/support/tcp-proxy.ts';
import { openLanes } from '#test/support/test-lanes.ts';

let postgres: PrivatePostgres;

beforeAll(async () => {
  postgres = await startPrivatePostgres();
});

afterAll(() => postgres[Symbol.asyncDispose]());

const END_LANES = "select pg_terminate_backend(pid, 10000) from pg_stat_activity where application_name = 'lanes'";
const NUMBER = { name: 'number', text: 'select $1::text::int as n, pg_backend_pid() as pid' };

describe('ReadLanes', () => {
  it('fails no read when an administrator ends its connections, and opens them again', async () => {
    // Only the lanes': a connection of the pool has one reader, who fails with it.
    const lanesUrl = `${postgres.url}?application_name=lanes`;
    await using open = openLanes(postgres.url, { lanesUrl });
    await open.untilUp(2);
    let done = false;
    const readers = Array.from({ length: 50 }, async (_, reader) => {
      for (let n = 0; !done; n++) {
        const rows = await open.lanes.query<{ n: number }>(NUMBER, [`${reader}${n}`]);
        expect(rows[0]?.n).toBe(Number(`${reader}${n}`));
      }
    });
    for (let ended = 0; ended < 6; ) {
      ended += (await query(postgres.url, END_LANES)).length;
    }
    await open.untilUp(2);
    done = true;
    await Promise.all(readers);
    expect(open.overPool).toBeGreaterThan(0);
  });

  it('reads over the pool, once, what was in flight on a connection that is reset', async () => {
    await using proxy = await proxyTo(postgres.url);
    await using open = openLanes(postgres.url, { lanesUrl: proxy.through(postgres.url) });
    await open.untilUp(2);
    proxy.set({ blackHole: true });
    const reads = Array.from({ length: 100 }, (_, n) => open.lanes.query<{ n: number }>(NUMBER, [String(n)]));
    expect(open.lanes.state.inFlight).toBe(100);
    expect(open.overPool).toBe(0);
    proxy.reset();
    const rows = await Promise.all(reads);
    expect(rows.map(([row]) => row?.n)).toEqual(Array.from({ length: 100 }, (_, n) => n));
    expect(open.overPool).toBe(100);
    proxy.heal();
    await open.untilUp(2);
    await open.lanes.query(NUMBER, ['1']);
    expect(open.overPool).toBe(100);
  });

  it('takes a connection for lost that owes an answer for longer than a statement may take', async () => {
    await using proxy = await proxyTo(postgres.url);
    await using open = openLanes(postgres.url, { lanesUrl: proxy.through(postgres.url), statementTimeoutMs: 100 });
    await open.untilUp(2);
    proxy.set({ blackHole: true });
    const reads = [open.lanes.query(NUMBER, ['1']), open.lanes.query(NUMBER, ['2'])];
    expect(await Promise.all(reads)).toMatchObject([[{ n: 1 }], [{ n: 2 }]]);
    expect(open.overPool).toBe(2);
    proxy.heal();
    await open.untilUp(2);
  });

  it('keeps a connection on which a long row of statements takes more than that, all together', async () => {
    await using open = openLanes(postgres.url, { count: 1, statementTimeoutMs: 1000 });
    await open.untilUp(1);
    const slow = { name: 'slow', text: 'select pg_sleep(0.3), pg_backend_pid() as pid' };
    // 3 s for all, where the connection would be lost after 2 s without any answer.
    const rows = await Promise.all(Array.from({ length: 10 }, () => open.lanes.query<{ pid: number }>(slow, [])));
    expect(new Set(rows.map(([row]) => row?.pid)).size).toBe(1);
    expect(open.overPool).toBe(0);
  });

  it('takes a connection for lost that brings what is no message of Postgres', async () => {
    await using garbling = await startGarblingProxy(postgres.url);
    await using open = openLanes(postgres.url, { lanesUrl: garbling.url });
    await open.untilUp(2);
    expect(await open.lanes.query(NUMBER, ['1'])).toMatchObject([{ n: 1 }]);
    garbling.garble = true;
    expect(await Promise.all([open.lanes.query(NUMBER, ['2']), open.lanes.query(NUMBER, ['3'])])).toMatchObject([
      [{ n: 2 }],
      [{ n: 3 }],
    ]);
    expect(open.overPool).toBe(2);
    garbling.garble = false;
    await open.untilUp(2);
  });

  it('says that the database is not there while Postgres is down, and comes back with it', async () => {
    await using open = openLanes(postgres.url);
    await open.untilUp(2);
    await postgres.stopImmediately();
    await open.untilUp(0);
    await expect(open.lanes.query(NUMBER, ['1'])).rejects.toThrow(DatabaseUnavailableError);
    await postgres.start();
    await open.untilUp(2);
    const overPool = open.overPool;
    expect(await open.lanes.query(NUMBER, ['2'])).toMatchObject([{ n: 2 }]);
    expect(open.overPool).toBe(overPool);
  });

  it('tells of an outage once, and of the next one again', async () => {
    const told: unknown[] = [];
    await using proxy = await proxyTo(postgres.url);
    await using open = openLanes(postgres.url, {
      count: 1,
      lanesUrl: proxy.through(postgres.url),
      onLost: error => told.push(error),
    });
    await open.untilUp(1);
    expect(told).toEqual([]);
    proxy.reset();
    await open.untilUp(0);
    await open.untilUp(1);
    expect(told).toHaveLength(1);
  });

  it('ends calls at their deadlines while Postgres is frozen, and answers when it is not', async () => {
    await using open = openLanes(postgres.url, { statementTimeoutMs: 100, database: { statementTimeoutMs: 100 } });
    await open.untilUp(2);
    await postgres.freeze();
    const calls = Array.from({ length: 20 }, () =>
      open.lanes.query(NUMBER, ['1'], { signal: AbortSignal.timeout(50) }),
    );
    const results = await Promise.allSettled(calls);
    expect(results.map(result => result.status === 'rejected' && result.reason.name)).toEqual(
      calls.map(() => 'TimeoutError'),
    );
    // By themselves: the server still says nothing.
    await open.untilUp(0);
    await expect(open.lanes.query(NUMBER, ['2'], { signal: AbortSignal.timeout(50) })).rejects.toThrow(/timeout/);
    await postgres.thaw();
    await open.untilUp(2);
    expect(await open.lanes.query(NUMBER, ['3'])).toMatchObject([{ n: 3 }]);
  });

  it('can be disposed of while Postgres is frozen', async () => {
    await using open = openLanes(postgres.url);
    await open.untilUp(2);
    await postgres.freeze();
    const call = open.lanes.query(NUMBER, ['1'], { signal: AbortSignal.timeout(50) });
    await expect(call).rejects.toThrow(/timeout/);
    await open.lanes[Symbol.asyncDispose]();
    await postgres.thaw();
  });

  it('can be disposed of while nobody accepts its connections', async () => {
    const server = createServer(socket => socket.destroy()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    await using open = openLanes(postgres.url, { lanesUrl: `postgres://nobody@127.0.0.1:${port}/none` });
    for (let n = 0; n < 4; n++) await once(server, 'connection');
    expect(await open.lanes.query(NUMBER, ['1'])).toMatchObject([{ n: 1 }]);
    await open.lanes[Symbol.asyncDispose]();
    server.close();
  });
});

function proxyTo(url: string): Promise<TcpProxy> {
  return startTcpProxy({ host: '127.0.0.1', port: Number(new URL(url).port) });
}
