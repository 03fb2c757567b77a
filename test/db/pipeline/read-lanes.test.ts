import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { StatementTimeoutError, WriteConflictError } from '#src/db/errors.ts';
import { takeAdvisoryLock } from '#test/support/advisory-lock.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { openLanes, type TestLanes } from '#test/support/test-lanes.ts';

let database: TestDatabase;
let admin: pg.Client;

beforeAll(async () => {
  database = await createTestDatabase();
  admin = new pg.Client(database.url);
  await admin.connect();
});

afterAll(async () => {
  await admin.end();
  await database[Symbol.asyncDispose]();
});

const ECHO = { name: 'echo', text: 'select $1::int as n, pg_backend_pid() as pid' };
const TYPES = {
  name: 'types',
  text: `select $1::uuid as id, $2::text as text, $3::text[] as tags, null::text as nothing, '2026-02-03T04:05:06Z'::timestamptz as at,
    9007199254740993::bigint as big, 1.5::float8 as float, '{"a":[1]}'::jsonb as json, '\\x00ff'::bytea as bytes, true as yes
    from generate_series(1, 2)`,
};
const TYPES_VALUES = ['0158efff-e701-7000-8049-15260e9d709b', 'Zażółć\n😀', ['a', 'b,"c"', '']];
const NUMBER = { name: 'number', text: 'select $1::text::int as n' };

describe('ReadLanes', () => {
  it('gives the rows that the pool gives, the first time and later', async () => {
    await using open = await openedLanes({ count: 1 });
    const connection = await open.pool.acquire();
    const expected = (await connection.query(TYPES.text, TYPES_VALUES))?.rows;
    connection.release();
    expect(expected).toHaveLength(2);
    for (let n = 0; n < 3; n++) expect(await open.lanes.query(TYPES, TYPES_VALUES)).toEqual(expected);
    expect(open.overPool).toBe(0);
  });

  it('gives no rows where there are none', async () => {
    await using open = await openedLanes();
    const none = { name: 'none', text: 'select 1 where $1::int = 0' };
    expect(await open.lanes.query(none, [1])).toEqual([]);
    expect(await open.lanes.query(none, [1])).toEqual([]);
  });

  it('answers 1,000 reads at once over 2 connections, each with its own row', async () => {
    await using open = await openedLanes();
    const numbers = Array.from({ length: 1000 }, (_, n) => n);
    const answers = await Promise.all(numbers.map(n => open.lanes.query<{ n: number; pid: number }>(ECHO, [n])));
    expect(answers.map(rows => rows.map(row => row.n))).toEqual(numbers.map(n => [n]));
    expect(new Set(answers.map(([row]) => row?.pid)).size).toBe(2);
    expect(open.overPool).toBe(0);
  });

  it('sends each statement to the connection with the fewest in flight', async () => {
    await using open = await openedLanes();
    await using lock = await takeAdvisoryLock(database.url);
    const held = open.lanes.query({ name: 'held', text: lock.sql }, []);
    await lock.untilWaiting(1);
    // Were one of them behind the one that waits, it would not end.
    for (let n = 0; n < 10; n++) await open.lanes.query(ECHO, [n]);
    await lock.release();
    await held;
    expect(open.overPool).toBe(0);
  });

  it('takes the pool for what is more than may be in flight', async () => {
    await using open = await openedLanes({ maxInFlight: 1 });
    await using lock = await takeAdvisoryLock(database.url);
    const held = open.lanes.query({ name: 'held', text: lock.sql }, []);
    expect(await open.lanes.query(NUMBER, ['7'])).toEqual([{ n: 7 }]);
    expect(open.overPool).toBe(1);
    await lock.release();
    await held;
    expect(await open.lanes.query(NUMBER, ['8'])).toEqual([{ n: 8 }]);
    expect(open.overPool).toBe(1);
  });

  it('takes the pool for everything where there are to be no lanes', async () => {
    await using open = openLanes(database.url, { count: 0 });
    expect(await open.lanes.query(NUMBER, ['7'])).toEqual([{ n: 7 }]);
    expect(open.overPool).toBe(1);
  });

  it('takes the pool until a lane is up, so that it delays no start', async () => {
    await using open = openLanes(database.url);
    expect(await open.lanes.query(NUMBER, ['7'])).toEqual([{ n: 7 }]);
    expect(open.overPool).toBe(1);
  });

  it('rejects the call whose statement fails, and no other', async () => {
    await using open = await openedLanes({ count: 1 });
    const values = ['1', 'two', '3', 'four', '5'];
    for (let round = 0; round < 2; round++) {
      const results = await Promise.allSettled(values.map(value => open.lanes.query(NUMBER, [value])));
      expect(results.map(result => (result.status === 'fulfilled' ? result.value : result.reason.code))).toEqual([
        [{ n: 1 }],
        '22P02',
        [{ n: 3 }],
        '22P02',
        [{ n: 5 }],
      ]);
    }
    expect(open.overPool).toBe(0);
  });

  it('says the same of each of several calls whose statement can not be prepared', async () => {
    await using open = await openedLanes({ count: 1 });
    const wrong = { name: 'wrong', text: 'select n from no_such_table' };
    const results = await Promise.allSettled([open.lanes.query(wrong, []), open.lanes.query(wrong, [])]);
    expect(results).toMatchObject([{ reason: { code: '42P01' } }, { reason: { code: '42P01' } }]);
  });

  it('rejects a value that can not be sent, and keeps the statement', async () => {
    await using open = await openedLanes({ count: 1 });
    const cycle: { self?: unknown } = {};
    cycle.self = cycle;
    expect(await open.lanes.query(NUMBER, ['1'])).toEqual([{ n: 1 }]);
    await expect(open.lanes.query(NUMBER, [cycle])).rejects.toThrow(/circular/);
    expect(await open.lanes.query(NUMBER, ['2'])).toEqual([{ n: 2 }]);
    expect(open.overPool).toBe(0);
  });

  it('refuses a second text for a name', async () => {
    await using open = await openedLanes();
    await open.lanes.query(NUMBER, ['1']);
    await expect(open.lanes.query({ name: 'number', text: 'select 2' }, [])).rejects.toThrow(/have the name number/);
  });

  it('ends a statement at its time limit, and answers those behind it', async () => {
    await using open = await openedLanes({ count: 1, statementTimeoutMs: 100 });
    const slow = open.lanes.query({ name: 'slow', text: 'select pg_sleep(60)' }, []);
    const behind = open.lanes.query(NUMBER, ['7']);
    await expect(slow).rejects.toThrow(StatementTimeoutError);
    expect(await behind).toEqual([{ n: 7 }]);
    expect(open.overPool).toBe(0);
  });

  it('waits for a lock no longer than the pool does', async () => {
    await using open = await openedLanes({ lockTimeoutMs: 50 });
    await admin.query('begin; lock table posts in access exclusive mode');
    await expect(open.lanes.query({ name: 'locked', text: 'select 1 from posts' }, [])).rejects.toThrow(
      WriteConflictError,
    );
    await admin.query('rollback');
  });

  it('is known to Postgres by the name of the service, and looked after while a statement runs', async () => {
    await using open = await openedLanes();
    const text = `select name, setting from pg_settings
      where name in ('application_name', 'client_connection_check_interval') order by name`;
    expect(await open.lanes.query({ name: 'settings', text }, [])).toEqual([
      { name: 'application_name', setting: 'postservice' },
      { name: 'client_connection_check_interval', setting: '100' },
    ]);
  });

  it.each([
    [true, ['number', 'prepared']],
    [false, []],
  ])('keeps statements prepared where they have names: %s', async (named, prepared) => {
    await using open = await openedLanes({ count: 1, named });
    for (const value of ['1', '2']) {
      expect(await open.lanes.query(NUMBER, [value])).toEqual([{ n: Number(value) }]);
    }
    const text = "select name from pg_prepared_statements where name <> '' order by name";
    const rows = await open.lanes.query<{ name: string }>({ name: 'prepared', text }, []);
    expect(rows.map(row => row.name)).toEqual(prepared);
    expect(open.overPool).toBe(0);
  });

  it('answers over a migration that changes the type of a column', async () => {
    await using open = await openedLanes({ count: 1 });
    await admin.query('create table changing (n int); insert into changing values (7)');
    const read = { name: 'changing', text: 'select n from changing' };
    expect(await open.lanes.query(read, [])).toEqual([{ n: 7 }]);
    await admin.query("alter table changing alter n type text using 'now ' || n");
    expect(await open.lanes.query(read, [])).toEqual([{ n: 'now 7' }]);
    expect(open.overPool).toBe(1);
    await open.untilUp(1);
    expect(await open.lanes.query(read, [])).toEqual([{ n: 'now 7' }]);
    expect(open.overPool).toBe(1);
  });

  it('replaces a connection that has lived its life, and loses no read', async () => {
    await using open = await openedLanes({ lifetimeMs: 5 });
    const pids = new Set<number | undefined>();
    while (pids.size < 8) {
      const rows = await open.lanes.query<{ pid: number }>(ECHO, [1]);
      pids.add(rows[0]?.pid);
    }
  });
});

describe('ReadLanes, for a call that is aborted', () => {
  it('rejects it at once, lets the statement go on, and answers its neighbours', async () => {
    await using open = await openedLanes({ count: 1 });
    await using lock = await takeAdvisoryLock(database.url);
    const call = new AbortController();
    const before = open.lanes.query(NUMBER, ['1']);
    const gone = open.lanes.query({ name: 'held', text: lock.sql }, [], call);
    const behind = open.lanes.query(NUMBER, ['2']);
    await lock.untilWaiting(1);
    call.abort(new Error('the client left'));
    await expect(gone).rejects.toThrow('the client left');
    await lock.untilWaiting(1);
    await lock.release();
    expect(await Promise.all([before, behind])).toEqual([[{ n: 1 }], [{ n: 2 }]]);
    expect(open.overPool).toBe(0);
  });

  it('sends nothing where it was aborted before', async () => {
    await using open = await openedLanes();
    const signal = AbortSignal.abort(new Error('the client left'));
    await expect(open.lanes.query(NUMBER, ['1'], { signal })).rejects.toThrow('the client left');
    expect(open.lanes.state.inFlight).toBe(0);
  });

  it('rejects it at once over the pool too', async () => {
    await using open = openLanes(database.url, { count: 0, database: { poolMax: 1 } });
    const held = await open.pool.acquire();
    const call = new AbortController();
    const gone = open.lanes.query(NUMBER, ['1'], call);
    call.abort(new Error('the client left'));
    await expect(gone).rejects.toThrow('the client left');
    held.release();
  });
});

describe('ReadLanes, when disposed of', () => {
  it('waits for the answers that somebody waits for', async () => {
    await using open = await openedLanes({ count: 1 });
    await using lock = await takeAdvisoryLock(database.url);
    const held = open.lanes.query({ name: 'held', text: `${lock.sql}, 1 as one` }, []);
    await lock.untilWaiting(1);
    let disposed = false;
    const disposal = open.lanes[Symbol.asyncDispose]().then(() => {
      disposed = true;
    });
    expect(await open.lanes.query(NUMBER, ['7'])).toEqual([{ n: 7 }]);
    expect(open.overPool).toBe(1);
    await lock.untilWaiting(1);
    expect(disposed).toBe(false);
    await lock.release();
    expect(await held).toMatchObject([{ one: 1 }]);
    await disposal;
  });

  it('does not wait for an answer that nobody waits for', async () => {
    await using open = await openedLanes({ count: 1 });
    await using lock = await takeAdvisoryLock(database.url);
    const call = new AbortController();
    const gone = expect(open.lanes.query({ name: 'held', text: lock.sql }, [], call)).rejects.toThrow();
    await lock.untilWaiting(1);
    call.abort();
    await gone;
    await open.lanes[Symbol.asyncDispose]();
    // Postgres notices that nobody is there.
    await lock.untilWaiting(0);
  });

  it('leaves no connection behind, not even one that it was about to open', async () => {
    await using other = await createTestDatabase();
    await using opening = openLanes(other.url);
    await opening.lanes[Symbol.asyncDispose]();
    await using open = openLanes(other.url);
    await open.untilUp(2);
    await open.lanes[Symbol.asyncDispose]();
    for (let connected = -1; connected !== 0; ) {
      const { rows } = await admin.query<{ connected: string }>(
        'select count(*) as connected from pg_stat_activity where datname = $1',
        [new URL(other.url).pathname.slice(1)],
      );
      connected = Number(rows[0]?.connected);
    }
    expect(open.lanes.state).toEqual({ up: 0, inFlight: 0 });
  });
});

async function openedLanes(options: Parameters<typeof openLanes>[1] = {}): Promise<TestLanes> {
  const open = openLanes(database.url, options);
  await open.untilUp(options.count ?? 2);
  return open;
}
