import { once } from 'node:events';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { PrimaryHost } from '#src/db/connection/primary-host.ts';
import { DatabaseUnavailableError } from '#src/db/errors.ts';
import { migrateToLatest } from '#src/db/migrations/migrate.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { type PrivatePostgres, startPrivatePostgres } from '#test/support/private-postgres.ts';
import { query } from '#test/support/query.ts';
import { startReplica, type TestReplica } from '#test/support/replica.ts';
import { severalHosts } from '#test/support/several-hosts.ts';
import { startTcpProxy } from '#test/support/tcp-proxy.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';

let primary: PrivatePostgres;
let standby: TestReplica;
const parts = new AsyncDisposableStack();

beforeAll(async () => {
  primary = parts.use(await startPrivatePostgres());
  standby = parts.use(await startReplica(primary.url));
});
afterAll(() => parts.disposeAsync());

const NEVER = new AbortController().signal;

describe('Among the hosts of a database, the primary', () => {
  it('is found wherever it is named', async () => {
    for (const url of [severalHosts(primary.url, standby.url), severalHosts(standby.url, primary.url)]) {
      await using host = new PrimaryHost(url);
      expect((await host.known(NEVER)).url).toBe(primary.url);
    }
  });

  it('is found behind hosts that refuse or never answer, at the cost of one connection to such a host', async () => {
    await using silent = await startSilentServer();
    const url = severalHosts(silent.through(primary.url), await refusingUrl(primary.url), standby.url, primary.url);
    await using host = new PrimaryHost(url);
    await using pool = openPool(host);
    await host.known(NEVER);
    for (let n = 0; n < 5; n++) expect(await firstValue(pool, 'select pg_is_in_recovery()')).toBe(false);
    expect(silent.connections).toBe(1);
  });

  it('is the one whose database is migrated', async () => {
    expect(await migrateToLatest(severalHosts(standby.url, primary.url))).toEqual([]);
  });

  it('is missed with what each host has said, and nothing secret', async () => {
    await using host = new PrimaryHost(severalHosts(standby.url, await refusingUrl(primary.url)));
    await using pool = openPool(host);
    const failure = await untilFailsWith(pool, /a standby.*ECONNREFUSED/);
    expect(failure).toBeInstanceOf(DatabaseUnavailableError);
    expect(`${failure.message} ${failure.cause}`).not.toContain(new URL(primary.url).password);
  });
});

describe('A URL of one host', () => {
  it('leads to a standby too', async () => {
    await using pool = openPool(new PrimaryHost(standby.url));
    expect(await firstValue(pool, 'select pg_is_in_recovery()')).toBe(true);
  });

  it('leads to none with target_session_attrs=read-write', async () => {
    await using pool = openPool(new PrimaryHost(`${standby.url}?target_session_attrs=read-write`));
    await expect(pool.acquire()).rejects.toThrow(DatabaseUnavailableError);
  });
});

describe('A server that takes no writes any more', () => {
  let other: TestReplica;

  beforeAll(async () => {
    other = parts.use(await startReplica(primary.url));
    await other.promote();
  });
  afterEach(async () => {
    for (const { url } of [primary, other]) await setReadOnly(url, false);
  });

  it('is left at once, with all connections, for the one that does', async () => {
    const url = severalHosts(primary.url, standby.url, other.url);
    await setReadOnly(other.url, true);
    await using host = new PrimaryHost(url);
    expect((await host.known(NEVER)).url).toBe(primary.url);
    await using pool = openPool(host);
    await pool.open(3);
    await setReadOnly(other.url, false);
    await setReadOnly(primary.url, true);
    const isLeft = once((await host.known(NEVER)).left, 'abort');
    await expect(firstValue(pool, WRITE)).rejects.toThrow(DatabaseUnavailableError);
    await isLeft;
    expect((await host.known(NEVER)).url).toBe(other.url);
    await untilNoConnections(primary.url);
    expect(await firstValue(pool, 'select inet_server_port()')).toBe(Number(new URL(other.url).port));
  });

  it('is left by its old connections where its address has moved to another one', async () => {
    const target = { host: '127.0.0.1', port: Number(new URL(primary.url).port) };
    await using proxy = await startTcpProxy(target);
    await using pool = openPool(new PrimaryHost(proxy.through(primary.url)));
    await pool.open(3);
    target.port = Number(new URL(other.url).port);
    await setReadOnly(primary.url, true);
    await expect(firstValue(pool, WRITE)).rejects.toThrow(DatabaseUnavailableError);
    await untilNoConnections(primary.url);
    expect(await firstValue(pool, 'select inet_server_port()')).toBe(target.port);
  });

  it('of one host keeps its connections for reads, where there is no other', async () => {
    await using pool = openPool(new PrimaryHost(primary.url));
    await pool.open(3);
    await setReadOnly(primary.url, true);
    const reader = await pool.acquire();
    await expect(firstValue(pool, WRITE)).rejects.toThrow(DatabaseUnavailableError);
    expect((await reader.query('select 1 as one', []))?.rows).toEqual([{ one: 1 }]);
    reader.release();
  });

  it('is stayed on for reads while no other one takes writes, and left then', async () => {
    await setReadOnly(other.url, true);
    await setReadOnly(primary.url, true);
    await using host = new PrimaryHost(severalHosts(primary.url, standby.url));
    await using pool = openPool(host);
    expect((await host.known(NEVER)).url).toBe(primary.url);
    await expect(firstValue(pool, WRITE)).rejects.toThrow(DatabaseUnavailableError);
    expect(await firstValue(pool, 'select pg_is_in_recovery()')).toBe(false);
    const { left } = await host.known(NEVER);
    const isLeft = once(left, 'abort');
    await standby.promote();
    await isLeft;
    expect((await host.known(NEVER)).url).toBe(standby.url);
  });

  it('is not taken where two say that they are the primary, and the other one was promoted later', async () => {
    await using host = new PrimaryHost(severalHosts(primary.url, other.url));
    expect((await host.known(NEVER)).url).toBe(other.url);
  });
});

const WRITE = 'delete from posts';

function openPool(host: PrimaryHost): ConnectionPool & AsyncDisposable {
  const pool = new ConnectionPool(host, aDatabaseConfig());
  return Object.assign(pool, { [Symbol.asyncDispose]: () => pool.end() });
}

async function firstValue(pool: ConnectionPool, sql: string): Promise<unknown> {
  const connection = await pool.acquire();
  try {
    const result = await connection.query(sql, []);
    return Object.values(result?.rows[0] ?? {})[0];
  } finally {
    connection.release();
  }
}

async function untilFailsWith(pool: ConnectionPool, cause: RegExp): Promise<Error> {
  for (;;) {
    const failure = await pool.acquire().then(
      () => undefined,
      (error: Error) => error,
    );
    if (cause.test(String(failure?.cause))) return failure as Error;
    await turn();
  }
}

/** For sessions that are open, too. Resolves when new ones have it. */
async function setReadOnly(url: string, isReadOnly: boolean): Promise<void> {
  const wanted = isReadOnly ? 'on' : 'off';
  await query(
    `${url}?options=-c%20transaction_read_only%3Doff`,
    `alter system set default_transaction_read_only = ${wanted}`,
  );
  await query(url, 'select pg_reload_conf()');
  for (;;) {
    const [row] = (await query(url, 'show default_transaction_read_only')) as Record<string, string>[];
    if (row?.default_transaction_read_only === wanted) return;
  }
}

async function untilNoConnections(url: string): Promise<void> {
  const sql = `select 1 from pg_stat_activity where application_name = 'postservice'`;
  while ((await query(url, sql)).length > 0) await turn();
}

/** A server that accepts connections, and says nothing. */
async function startSilentServer(): Promise<
  { through(url: string): string; readonly connections: number } & AsyncDisposable
> {
  let connections = 0;
  const sockets = new Set<{ destroy(): void }>();
  const server: Server = createServer(socket => {
    connections++;
    sockets.add(socket);
    socket.on('error', () => {});
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    through: url => Object.assign(new URL(url), { port: (server.address() as AddressInfo).port }).href,
    get connections() {
      return connections;
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

async function refusingUrl(url: string): Promise<string> {
  const server = await startSilentServer();
  const refusing = server.through(url);
  await server[Symbol.asyncDispose]();
  return refusing;
}
