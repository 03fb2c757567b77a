import { EventEmitter, once } from 'node:events';
import net from 'node:net';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DatabaseConfig } from '#src/config/config.ts';
import {
  DatabaseUnavailableError,
  PoolExhaustedError,
  StatementTimeoutError,
  WriteConflictError,
} from '#src/db/errors.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { createTestDatabase, type TestDatabase } from '#test/support/postgres.ts';
import { startTcpProxy } from '#test/support/tcp-proxy.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';

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

describe('ConnectionPool', () => {
  it('gives a connection back to the next caller', async () => {
    await using pool = openPool({ poolMax: 1 });
    const first = await pool.acquire();
    const pid = await backendOf(first);
    first.release();
    const second = await pool.acquire();
    expect(await backendOf(second)).toBe(pid);
    second.release();
  });

  it.each([
    [true, ['thrice']],
    [false, []],
  ])('prepares what has a name, where the settings have prepared statements: %s', async (preparedStatements, names) => {
    await using pool = openPool({ poolMax: 1, preparedStatements });
    const connection = await pool.acquire();
    const statement = { name: 'thrice', text: 'select 3 * $1::int as thrice' };
    for (const n of [2, 3]) expect(await connection.run(statement, [n])).toEqual([{ thrice: 3 * n }]);
    await connection.query('select 1', []);
    const prepared = await connection.query('select name from pg_prepared_statements where from_sql = false', []);
    expect(prepared?.rows.map(({ name }) => name)).toEqual(names);
    connection.release();
  });

  it('refuses a caller who has waited for the acquire timeout', async () => {
    await using pool = openPool({ poolMax: 1, acquireTimeoutMs: 250 });
    // The first connection may take longer than that on a busy machine.
    const held = await retryUntilAcquired(pool);
    await expect(pool.acquire()).rejects.toThrow(DatabaseUnavailableError);
    held.release();
  });

  it('gives who waits for a new connection the one that is put back before', async () => {
    await using door = await startDoor(database.url);
    await using pool = openPool({ poolMax: 2, acquireTimeoutMs: 60_000 }, door.url);
    const held = await pool.acquire();
    const pid = await backendOf(held);
    door.close();
    const asked = once(door, 'knock');
    const waiting = pool.acquire();
    await asked;
    held.release();
    const got = await waiting;
    expect(await backendOf(got)).toBe(pid);
    got.release();
  });

  it('says that it is busy, and not that the database is away, where another connection opens too slowly', async () => {
    await using door = await startDoor(database.url);
    await using pool = openPool({ poolMax: 2, acquireTimeoutMs: 250 }, door.url);
    const held = await retryUntilAcquired(pool);
    door.close();
    await expect(pool.acquire()).rejects.toThrow(PoolExhaustedError);
    held.release();
  });

  it('keeps for the next caller what was opened for one who has gone', async () => {
    await using pool = openPool({ poolMax: 1 });
    const call = new AbortController();
    const gone = expect(pool.acquire(call.signal)).rejects.toThrow('the client left');
    call.abort(new Error('the client left'));
    await gone;
    const next = await pool.acquire();
    expect(pool.state).toEqual({ total: 1, idle: 0, waiting: 0 });
    next.release();
  });

  it('tries again to open a connection for those who wait, without haste', async () => {
    await using door = await startDoor(database.url);
    await using pool = openPool({ poolMax: 2, acquireTimeoutMs: 60_000 }, door.url);
    const held = await pool.acquire();
    door.slam();
    const waiting = pool.acquire();
    while (door.knocks < 3) await once(door, 'knock');
    door.open();
    const got = await waiting;
    expect(await backendOf(got)).not.toBe(await backendOf(held));
    expect(door.knocks).toBeLessThan(20);
    got.release();
    held.release();
  });

  it('uses no connection for anybody else that was open when it was renewed', async () => {
    await using pool = openPool({ poolMax: 2 });
    const [held, idle] = [await pool.acquire(), await pool.acquire()];
    const pids = [await backendOf(held), await backendOf(idle)];
    idle.release();
    pool.renew();
    held.release();
    const [first, second] = [await pool.acquire(), await pool.acquire()];
    for (const connection of [first, second]) {
      expect(pids).not.toContain(await backendOf(connection));
      connection.release();
    }
  });

  it('closes a connection that nobody has used for long', async () => {
    await using pool = openPool({ poolMax: 1, idleTimeoutMs: 40 });
    (await pool.acquire()).release();
    await expect.poll(() => pool.state.total).toBe(0);
  });

  it('refuses those who wait when it is ended, and ends when all have been put back', async () => {
    const pool = openPool({ poolMax: 1, acquireTimeoutMs: 60_000 });
    const held = await pool.acquire();
    const refused = expect(pool.acquire()).rejects.toThrow(DatabaseUnavailableError);
    const ended = pool.end();
    await refused;
    await expect(pool.acquire()).rejects.toThrow(DatabaseUnavailableError);
    expect(pool.state).toEqual({ total: 1, idle: 0, waiting: 0 });
    expect((await held.query('select 1 as one', []))?.rows).toEqual([{ one: 1 }]);
    held.release();
    await ended;
    expect(pool.state.total).toBe(0);
  });

  it('refuses at once when too many wait', async () => {
    await using pool = openPool({ poolMax: 1, maxWaiting: 1 });
    const held = await pool.acquire();
    const waiting = pool.acquire();
    await expect(pool.acquire()).rejects.toThrow(/more than 1 queries wait/);
    held.release();
    (await waiting).release();
  });

  it('opens connections for callers up to its size when none may wait', async () => {
    await using pool = openPool({ poolMax: 2, maxWaiting: 0 });
    const taken = await Promise.all([pool.acquire(), pool.acquire()]);
    await expect(pool.acquire()).rejects.toThrow(/more than 0 queries wait/);
    for (const connection of taken) connection.release();
    (await pool.acquire()).release();
  });

  it('lets a caller whose call is aborted leave the queue at once, and keeps the others in their order', async () => {
    await using pool = openPool({ poolMax: 1, acquireTimeoutMs: 60_000, maxWaiting: 3 });
    const held = await pool.acquire();
    const order: string[] = [];
    const call = new AbortController();
    const waitAs = async (name: string, signal?: AbortSignal) => {
      const connection = await pool.acquire(signal);
      order.push(name);
      connection.release();
    };
    const first = waitAs('first');
    const gone = waitAs('gone', call.signal);
    const last = waitAs('last');
    expect(pool.state.waiting).toBe(3);
    const refused = expect(gone).rejects.toThrow('the client left');
    call.abort(new Error('the client left'));
    expect(pool.state.waiting).toBe(2);
    await refused;
    expect(order).toEqual([]);
    held.release();
    await Promise.all([first, last]);
    expect(order).toEqual(['first', 'last']);
    expect(pool.state).toEqual({ total: 1, idle: 1, waiting: 0 });
  });

  it('does not let a call wait that was aborted before', async () => {
    await using pool = openPool({ poolMax: 1, acquireTimeoutMs: 60_000 });
    const held = await pool.acquire();
    await expect(pool.acquire(AbortSignal.abort(new Error('the client left')))).rejects.toThrow('the client left');
    expect(pool.state.waiting).toBe(0);
    held.release();
  });

  it('loses no place for a connection that could not be opened', async () => {
    const server = net.createServer(socket => socket.destroy()).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    await using pool = new EndingPool(`postgres://nobody@127.0.0.1:${port}/none`, aDatabaseConfig({ poolMax: 1 }));
    for (let n = 0; n < 3; n++) await expect(pool.acquire()).rejects.toThrow(/cannot be reached/);
    server.close();
  });

  it('refuses when Postgres is not there', async () => {
    const server = net.createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as net.AddressInfo;
    server.close();
    await using pool = new EndingPool(`postgres://nobody@127.0.0.1:${port}/none`, aDatabaseConfig());
    await expect(pool.acquire()).rejects.toThrow(DatabaseUnavailableError);
  });

  it('sets the time limits of statements, locks and idle transactions', async () => {
    const limits = { statementTimeoutMs: 1234, lockTimeoutMs: 567, transactionIdleTimeoutMs: 8901 };
    await using pool = openPool(limits);
    const connection = await pool.acquire();
    const names = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'];
    const settings = await connection.query('select setting from pg_settings where name = any($1) order by name desc', [
      names,
    ]);
    expect(settings?.rows.map(row => row.setting)).toEqual(['1234', '567', '8901']);
    connection.release();
  });

  it('says that Postgres ended a statement at its time limit, and keeps the connection', async () => {
    await using pool = openPool({ poolMax: 1, statementTimeoutMs: 50 });
    const connection = await pool.acquire();
    const pid = await backendOf(connection);
    await expect(connection.query('select pg_sleep(60)', [])).rejects.toThrow(StatementTimeoutError);
    connection.release();
    const next = await pool.acquire();
    expect(await backendOf(next)).toBe(pid);
    next.release();
  });

  it('says that a lock was not to be had in time', async () => {
    await using pool = openPool({ lockTimeoutMs: 50 });
    await admin.query('begin; lock table posts in access exclusive mode');
    const connection = await pool.acquire();
    await expect(connection.query('select 1 from posts', [])).rejects.toThrow(WriteConflictError);
    connection.release();
    await admin.query('rollback');
  });

  it('ends a connection that has lived its life', async () => {
    await using pool = openPool({ poolMax: 1, lifetimeMs: 0 });
    const first = await pool.acquire();
    const pid = await backendOf(first);
    first.release();
    const second = await pool.acquire();
    expect(await backendOf(second)).not.toBe(pid);
    second.release();
  });

  it('lives through the end of an idle backend, and connects again', async () => {
    await using pool = openPool({ poolMax: 1 });
    const first = await pool.acquire();
    const pid = await backendOf(first);
    first.release();
    await admin.query('select pg_terminate_backend($1, 10000)', [pid]);
    const second = await acquireAnother(pool, pid);
    expect(await backendOf(second)).not.toBe(pid);
    second.release();
  });

  it('leaves no statement behind in Postgres where its connection is cut', async () => {
    await using proxy = await startTcpProxy({ host: '127.0.0.1', port: Number(new URL(database.url).port) });
    await using pool = openPool({ statementTimeoutMs: 3_600_000 }, proxy.through(database.url));
    const connection = await pool.acquire();
    const statement = expect(connection.query("select pg_sleep(3600), 'cut'", [])).rejects.toThrow();
    const running = async () =>
      (await admin.query("select 1 from pg_stat_activity where state = 'active' and query like '%3600), ''cut''%'"))
        .rowCount;
    while ((await running()) !== 1);
    proxy.reset();
    await statement;
    connection.release();
    while ((await running()) !== 0);
  });

  it('refuses the query whose backend is killed, and does not give its connection to anyone else', async () => {
    await using pool = openPool({ poolMax: 1 });
    const connection = await pool.acquire();
    const pid = await backendOf(connection);
    const query = connection.query('select pg_sleep(60)', []);
    const refused = expect(query).rejects.toThrow(DatabaseUnavailableError);
    await untilRunning(pid);
    await admin.query('select pg_terminate_backend($1, 10000)', [pid]);
    await refused;
    connection.release();
    const next = await pool.acquire();
    expect(await backendOf(next)).not.toBe(pid);
    next.release();
  });

  it('lives through the end of a backend inside a transaction', async () => {
    await using pool = openPool({ poolMax: 1 });
    const connection = await pool.acquire();
    const pid = await backendOf(connection);
    await connection.query('begin', []);
    await admin.query('select pg_terminate_backend($1, 10000)', [pid]);
    await expect(connection.query('select 1', [])).rejects.toThrow(DatabaseUnavailableError);
    connection.release();
    const next = await pool.acquire();
    expect((await next.query('select 1 as one', []))?.rows).toEqual([{ one: 1 }]);
    next.release();
  });

  it('ends though its server answers nothing any more: what runs fails, and what is idle is cut', async () => {
    await using proxy = await startTcpProxy({ host: '127.0.0.1', port: Number(new URL(database.url).port) });
    await using pool = openPool({ poolMax: 2 }, proxy.through(database.url));
    const running = await pool.acquire();
    const idle = await pool.acquire();
    idle.release();
    proxy.set({ blackHole: true });
    const query = running.query('select 1', []).finally(() => running.release());
    await Promise.all([pool.end(), expect(query).rejects.toThrow(DatabaseUnavailableError)]);
    expect(pool.state.total).toBe(0);
  });

  it('cancels the statement in Postgres when its call is aborted, and keeps the connection', async () => {
    await using pool = openPool({ poolMax: 1 });
    const connection = await pool.acquire();
    const pid = await backendOf(connection);
    const call = new AbortController();
    const query = connection.query('select pg_sleep(60)', [], call.signal);
    await untilRunning(pid);
    call.abort();
    expect(await query).toBeUndefined();
    connection.release();
    const next = await pool.acquire();
    expect(await backendOf(next)).toBe(pid);
    next.release();
  });

  it('cancels no statement but the one of the aborted call', async () => {
    await using pool = openPool({ poolMax: 1 });
    for (let round = 0; round < 200; round++) {
      const connection = await pool.acquire();
      const call = new AbortController();
      // Aborted about when the statement ends, so that the request to cancel often comes too late for it.
      const query = connection.query('select 1', [], call.signal);
      setImmediate(() => call.abort());
      await query;
      connection.release();
      const next = await pool.acquire();
      await expect(next.query('select pg_sleep(0.001)', [])).resolves.toBeDefined();
      next.release();
    }
  });
});

/** A way to Postgres that lets nobody new in while it is closed (it keeps them waiting) or slammed (it sends them away). */
class Door extends EventEmitter implements AsyncDisposable {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  readonly #postgres: URL;
  #state: 'open' | 'closed' | 'slammed' = 'open';
  knocks = 0;

  constructor(url: string) {
    super();
    this.#postgres = new URL(url);
    this.#server = net.createServer(socket => this.#enter(socket));
  }

  get url(): string {
    const url = new URL(this.#postgres);
    url.port = String((this.#server.address() as net.AddressInfo).port);
    return url.href;
  }

  async listen(): Promise<this> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening');
    return this;
  }

  open(): void {
    this.#state = 'open';
  }

  close(): void {
    this.#state = 'closed';
  }

  slam(): void {
    this.#state = 'slammed';
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }

  #enter(socket: net.Socket): void {
    this.#sockets.add(socket.on('error', () => {}));
    if (this.#state === 'open') {
      const inside = net.connect(Number(this.#postgres.port), '127.0.0.1').on('error', () => {});
      this.#sockets.add(inside);
      socket.pipe(inside).pipe(socket);
      return;
    }
    this.knocks++;
    this.emit('knock');
    if (this.#state === 'slammed') socket.destroy();
  }
}

function startDoor(url: string): Promise<Door> {
  return new Door(url).listen();
}

class EndingPool extends ConnectionPool implements AsyncDisposable {
  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}

function openPool(fields: Partial<DatabaseConfig> = {}, url = database.url): EndingPool {
  return new EndingPool(url, aDatabaseConfig(fields));
}

type Connection = Awaited<ReturnType<ConnectionPool['acquire']>>;

async function backendOf(connection: Connection): Promise<number> {
  return (await connection.query('select pg_backend_pid() as pid', []))?.rows[0].pid;
}

/** Resolves when the backend runs a statement that sleeps. */
async function untilRunning(pid: number): Promise<void> {
  for (;;) {
    const { rows } = await admin.query("select 1 from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'", [
      pid,
    ]);
    if (rows.length > 0) return;
  }
}

async function retryUntilAcquired(pool: ConnectionPool): Promise<Connection> {
  for (;;) {
    const connection = await pool.acquire().catch(() => undefined);
    if (connection !== undefined) return connection;
  }
}

/** The pool may not have heard yet of its idle connection's end. */
async function acquireAnother(pool: ConnectionPool, pid: number): Promise<Connection> {
  for (;;) {
    const connection = await pool.acquire();
    const now = await backendOf(connection).catch(() => pid);
    if (now !== pid) return connection;
    connection.release();
  }
}
