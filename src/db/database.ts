import {
  CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
  type TransactionSettings,
} from 'kysely';
import type { ConnectionPool } from '#src/db/pool/pool.ts';
import type { PooledConnection } from '#src/db/pool/pooled-connection.ts';
import type { Schema } from '#src/db/schema.ts';

/** The database for queries. `destroy()` ends the pool. */
export type Database = Kysely<Schema>;

/**
 * Kysely over our pool. Pass the call's signal to each query, `.execute({ signal })`: an aborted call then cancels its query in Postgres.
 *
 * The driver is ours, because Kysely's own cancels through a new login for each call, keeps a connection to a frozen server, and writes to
 * standard error whenever a cancelled query ends.
 */
export function createDatabase(pool: ConnectionPool): Database {
  const dialect: Dialect = {
    createAdapter: () => new PostgresAdapter(),
    createDriver: () => new PoolDriver(pool),
    createIntrospector: db => new PostgresIntrospector(db),
    createQueryCompiler: () => new PostgresQueryCompiler(),
  };
  return new Kysely<Schema>({ dialect });
}

/**
 * Runs a statement given as text, and returns its rows. An aborted signal cancels it in Postgres.
 *
 * @param name of a prepared statement. A name must always have the same text.
 */
export async function runText<Row extends object>(
  db: Database,
  text: string,
  values: readonly unknown[],
  signal?: AbortSignal,
  name?: string,
): Promise<Row[]> {
  const query: NamedQuery = { ...CompiledQuery.raw(text, [...values]), ...(name !== undefined && { name }) };
  return (await db.executeQuery<Row>(query as CompiledQuery<Row>, { signal })).rows;
}

/** Runs single statements like `ConnectionPool`. If the database is a transaction, they run in it. */
export function statementsOf(db: Database): Pick<ConnectionPool, 'run'> {
  return { run: ({ name, text }, values, signal) => runText(db, text, values, signal, name) };
}

type NamedQuery = CompiledQuery & { readonly name?: string };

class PoolDriver implements Driver {
  readonly #pool: ConnectionPool;

  constructor(pool: ConnectionPool) {
    this.#pool = pool;
  }

  async init() {}

  async acquireConnection(options?: { readonly signal?: AbortSignal | undefined }) {
    try {
      return new PoolDriverConnection(await this.#pool.acquire(options?.signal));
    } catch (error) {
      // The call was aborted while it waited, and its caller knows. Kysely would write this unhandled error to standard error.
      if (options?.signal?.aborted) return new Promise<never>(() => {});
      throw error;
    }
  }

  async beginTransaction(connection: PoolDriverConnection, settings: TransactionSettings) {
    const { isolationLevel = 'read committed' } = settings;
    await connection.executeQuery(CompiledQuery.raw(`begin isolation level ${isolationLevel}`));
  }

  async commitTransaction(connection: PoolDriverConnection) {
    const command = await connection.command(CompiledQuery.raw('commit'));
    // Postgres answers a commit with ROLLBACK if a statement of the transaction had failed.
    if (command !== 'COMMIT') throw new Error('the transaction was rolled back: one of its statements had failed');
  }

  async rollbackTransaction(connection: PoolDriverConnection) {
    try {
      await connection.executeQuery(CompiledQuery.raw('rollback'));
    } catch {
      // The session and its transaction are gone. The caller must get the error of the transaction.
      connection.discard = true;
    }
  }

  async releaseConnection(connection: PoolDriverConnection) {
    connection.release();
  }

  async destroy() {
    await this.#pool.end();
  }
}

class PoolDriverConnection implements DatabaseConnection {
  discard = false;
  readonly #connection: PooledConnection;

  constructor(connection: PooledConnection) {
    this.#connection = connection;
  }

  async executeQuery<R>(query: NamedQuery, options?: { readonly signal?: AbortSignal | undefined }) {
    const { name, sql: text, parameters } = query;
    // No result: the call was aborted, and Kysely has told its caller.
    if (name !== undefined) {
      const rows = (await this.#connection.run({ name, text }, parameters, options?.signal)) ?? [];
      return { rows: rows as R[] };
    }
    const result = await this.#connection.query(text, parameters, options?.signal);
    return { rows: (result?.rows ?? []) as R[], numAffectedRows: BigInt(result?.rowCount ?? 0) };
  }

  async command(query: CompiledQuery): Promise<string | undefined> {
    return (await this.#connection.query(query.sql, query.parameters))?.command;
  }

  // biome-ignore lint/correctness/useYield: nothing here streams; the interface wants the method.
  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error('queries are not streamed: read a page at a time');
  }

  release() {
    this.#connection.release(this.discard);
  }
}
