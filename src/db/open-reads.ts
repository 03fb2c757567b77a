import type { DatabaseConfig } from '#src/config/config.ts';
import type { PrimaryHost } from '#src/db/connection/primary-host.ts';
import { DatabasePolicy, type PolicyObserver } from '#src/db/database-policy.ts';
import { openReadLanes } from '#src/db/open-read-lanes.ts';
import type { ReadLanes } from '#src/db/pipeline/read-lanes.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import type { ReadExecutor } from '#src/db/snapshot-reads.ts';
import type { DatabaseMetrics } from '#src/observability/database-metrics.ts';
import type { Logger } from '#src/observability/logger.ts';

/** The reads of one database, primary or replica. */
export interface OpenReads {
  readonly lanes: ReadLanes;
  /** Guards the pool and the lanes. */
  readonly policy: DatabasePolicy;
  /** Reads over the lanes, behind the policy. */
  readonly reads: ReadExecutor;
}

/** Opens a pool with metrics and a log of leaks. @param name of the database, for both: `primary`, `replica-1`. */
export function openPool(
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

/** Opens lanes and a policy beside a pool, with metrics of all three. It waits for nothing. @param name as for the pool. */
export function openReads(
  name: string,
  database: string | PrimaryHost,
  config: DatabaseConfig,
  pool: ConnectionPool,
  log: Logger,
  metrics: DatabaseMetrics & PolicyObserver,
): OpenReads {
  const lanes = openReadLanes(database, config, pool, log);
  const policy = new DatabasePolicy(name, config, pool, metrics);
  metrics.watchDatabase(name, {
    poolInUse: () => pool.state.total - pool.state.idle,
    poolIdle: () => pool.state.idle,
    poolWaiting: () => pool.state.waiting,
    lanesUp: () => lanes.state.up,
    lanesInFlight: () => lanes.state.inFlight,
  });
  return { lanes, policy, reads: policy.guard(lanes) };
}
