import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ListeningConnection } from '#src/db/connection/listening-connection.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { query } from '#test/support/query.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';
import { openLanes } from '#test/support/test-lanes.ts';

const DEFAULTS = `
  DateStyle = SQL, DMY; TimeZone = 'Asia/Kathmandu'; IntervalStyle = iso_8601; extra_float_digits = -15; bytea_output = escape;
  client_encoding = LATIN1; standard_conforming_strings = off; array_nulls = off; transform_null_equals = on; exit_on_error = on;
  default_transaction_isolation = serializable; default_transaction_deferrable = on; statement_timeout = 999; lock_timeout = 999;
  idle_in_transaction_session_timeout = 999; idle_session_timeout = 999; jit = on`;
/** What the session has of the database's own settings. */
const FROM_DATABASE = "select name, setting from pg_settings where source = 'database'";
let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
  const name = new URL(database.url).pathname.slice(1);
  for (const setting of DEFAULTS.split(';')) await query(database.url, `alter database ${name} set ${setting}`);
});
afterAll(() => database?.[Symbol.asyncDispose]());

describe('Defaults of the database', () => {
  it('would change the session of any other client', async () => {
    expect((await query(database.url, FROM_DATABASE)).length).toBeGreaterThan(10);
  });

  it('change nothing for a connection of the pool', async () => {
    expect(await askPool(database.url, FROM_DATABASE)).toEqual([]);
  });

  it('change nothing for a lane', async () => {
    await using open = openLanes(database.url);
    await open.untilUp(2);
    expect(await open.lanes.query({ name: 'from_database', text: FROM_DATABASE }, [])).toEqual([]);
    expect(open.overPool).toBe(0);
  });

  it('change nothing for the connection that listens', async () => {
    const { promise: connected, resolve: onConnect } = Promise.withResolvers<void>();
    const options = {
      channel: 'c',
      timeoutMs: 30_000,
      preparesStatements: true,
      onConnect,
      onNotify: () => {},
      onLost: () => {},
    };
    await using connection = new ListeningConnection(database.url, options);
    await connected;
    expect(await connection.query(FROM_DATABASE, [])).toEqual([]);
  });

  it('are those of its URL where they change no value: its time limits, and its search_path', async () => {
    const url = new URL(database.url);
    url.searchParams.set(
      'options',
      '-c DateStyle=German -c idle_session_timeout=7s -c search_path=mine -c bytea_output=escape',
    );
    const names = "'DateStyle', 'idle_session_timeout', 'search_path', 'bytea_output'";
    const text = `select name, setting from pg_settings where name in (${names}) order by name collate "C"`;
    expect(await askPool(url.href, text)).toEqual([
      { name: 'DateStyle', setting: 'ISO, MDY' },
      { name: 'bytea_output', setting: 'hex' },
      { name: 'idle_session_timeout', setting: '7000' },
      { name: 'search_path', setting: 'mine' },
    ]);
  });
});

async function askPool(url: string, text: string): Promise<unknown> {
  const pool = new ConnectionPool(url, aDatabaseConfig());
  try {
    const connection = await pool.acquire();
    const result = await connection.query(text, []);
    connection.release();
    return result?.rows;
  } finally {
    await pool.end();
  }
}
