import { withTimeout } from '#src/async/with-timeout.ts';
import type { DatabaseConfig } from '#src/config/config.ts';
import type { PrimaryHost } from '#src/db/connection/primary-host.ts';
import { createDatabase, type Database } from '#src/db/database.ts';
import { DatabasePolicy, type PolicyObserver } from '#src/db/database-policy.ts';
import type { FollowedHistory } from '#src/db/history-note.ts';
import { isSchemaUpToDateWithin } from '#src/db/migrations/schema-version.ts';
import { ReadLanes } from '#src/db/pipeline/read-lanes.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { ReplicaSet } from '#src/db/replicas/replica-set.ts';
import type { ReadExecutor } from '#src/db/snapshot-reads.ts';
import type { DatabaseMetrics } from '#src/observability/database-metrics.ts';
import type { Logger } from '#src/observability/logger.ts';
import { RetryBudget } from '#src/resilience/retry-budget.ts';

/** The connections to one database, primary or replica. Disposing of it closes them, those of the pool when their callers are done. */
export interface OpenDatabase extends AsyncDisposable {
  readonly pool: ConnectionPool;
  readonly lanes: ReadLanes;
  /** Guards the pool and the lanes. */
  readonly policy: DatabasePolicy;
  /** Reads over the lanes, behind the policy. */
  readonly reads: ReadExecutor;
}

/** The connections to the primary. */
export interface Primary extends OpenDatabase {
  /** Statements and transactions over the pool. */
  readonly db: Database;
  /** Statements of catch-ups, over their own connections. */
  readonly catchUps: Database;
  /** Replaces the open connections, which may lead to a former primary. */
  readonly renew: () => void;
  /** Resolves when connections are open for the first calls, or after this time: opening one takes long on a busy machine. */
  readonly opened: (withinMs: number) => Promise<void>;
}

/** The connections to one replica. */
export interface Replica extends OpenDatabase {
  /** Its host and port. */
  readonly name: string;
}

/**
 * Opens the connections to one database, primary or replica, with metrics of all and a log of leaks. It waits for nothing.
 *
 * @param name of the database, for metrics and log: `primary`, `replica-1`.
 * @param pool opened by `openPool` with the same name. Default: a new one.
 */
export function openDatabase(
  name: string,
  database: string | PrimaryHost,
  config: DatabaseConfig,
  log: Logger,
  metrics: DatabaseMetrics & PolicyObserver,
  pool = openPool(name, database, config, log, metrics),
): OpenDatabase {
  const lanes = openReadLanes(database, config, pool, log);
  const policy = new DatabasePolicy(name, config, pool, metrics);
  metrics.watchDatabase(name, {
    poolInUse: () => pool.state.total - pool.state.idle,
    poolIdle: () => pool.state.idle,
    poolWaiting: () => pool.state.waiting,
    lanesUp: () => lanes.state.up,
    lanesInFlight: () => lanes.state.inFlight,
  });
  return {
    ...{ pool, lanes, policy, reads: policy.guard(lanes) },
    [Symbol.asyncDispose]: async () => {
      await lanes[Symbol.asyncDispose]();
      await pool.end();
    },
  };
}

/**
 * Opens the connections to the primary, once it answers and has a schema for this code.
 *
 * @param catchUpsMax the number of connections of `catchUps`.
 * @throws if the primary cannot be reached for a while, or has another schema.
 */
export async function openPrimary(
  host: PrimaryHost,
  config: DatabaseConfig,
  catchUpsMax: number,
  log: Logger,
  metrics: DatabaseMetrics & PolicyObserver,
): Promise<Primary> {
  const pool = openPool('primary', host, config, log, metrics);
  const catchUpPool = openPool('primary-catch-ups', host, { ...config, poolMax: catchUpsMax }, log, metrics);
  const db = createDatabase(pool);
  try {
    await requireSchema(db);
  } catch (error) {
    await Promise.all([pool.end(), catchUpPool.end()]);
    throw error;
  }
  const opened = openDatabase('primary', host, config, log, metrics, pool);
  return {
    ...opened,
    ...{ db, catchUps: createDatabase(catchUpPool) },
    renew: () => {
      for (const connections of [pool, catchUpPool, opened.lanes]) connections.renew();
    },
    opened: async withinMs => {
      const pooled = withTimeout(withinMs, pool.open(FIRST_CONNECTIONS)).catch(() => {});
      await Promise.all([opened.lanes.opened(withinMs), pooled]);
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([opened[Symbol.asyncDispose](), catchUpPool.end()]);
    },
  };
}

/** Opens the configured replicas. It waits for nothing. */
export function openReplicas(
  config: DatabaseConfig,
  primary: ReadExecutor,
  history: FollowedHistory,
  log: Logger,
  metrics: DatabaseMetrics & PolicyObserver,
): { readonly set: ReplicaSet; readonly replicas: readonly Replica[] } {
  const replicas = config.replicaUrls.map((url, n) => ({
    name: new URL(url).host,
    ...openDatabase(`replica-${n + 1}`, url, config, log, metrics),
  }));
  return { set: new ReplicaSet(primary, replicas, history, { maxLagMs: config.replicaMaxLagMs }, log), replicas };
}

/** Opens a pool with metrics and a log of leaks. @param name of the database, for both. */
function openPool(
  name: string,
  database: string | PrimaryHost,
  config: DatabaseConfig,
  log: Logger,
  metrics: DatabaseMetrics,
): ConnectionPool {
  return new ConnectionPool(database, config, {
    waited: ms => metrics.poolWaited(name, ms / 1000),
    held: ms => metrics.poolHeld(name, ms / 1000),
    leaked: held => {
      metrics.poolLeaked(name);
      log.warn({ database: name, ...held }, 'a connection of the pool is held for too long');
    },
  });
}

/** Opens the lanes to a database. It waits for nothing. @param pool of the same database. */
export function openReadLanes(
  database: string | PrimaryHost,
  config: DatabaseConfig,
  pool: ConnectionPool,
  log: Logger,
): ReadLanes {
  const options = {
    count: config.lanes,
    named: config.preparedStatements,
    // Further statements wait in the pool's queue, which holds as many.
    maxInFlight: config.maxWaiting,
    statementTimeoutMs: config.statementTimeoutMs,
    lockTimeoutMs: config.lockTimeoutMs,
    lifetimeMs: config.lifetimeMs,
    retryBudget: new RetryBudget(),
    onLost: (error: unknown) => log.warn({ err: error }, 'a connection for reads is lost, and reconnects'),
  };
  return new ReadLanes(database, options, pool);
}

async function requireSchema(db: Database): Promise<void> {
  if (await isSchemaUpToDateWithin(db, DATABASE_WAIT_MS)) return;
  throw new Error('the database has no schema of this version: run npx node src/main.ts migrate first');
}

/** A running database answers well within this, also while the machine is busy with the start. */
const DATABASE_WAIT_MS = 5000;
/** For concurrent writes in the first moments. More are opened on demand. */
const FIRST_CONNECTIONS = 3;
