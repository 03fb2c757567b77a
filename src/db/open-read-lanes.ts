import type { DatabaseConfig } from '#src/config/config.ts';
import type { PrimaryHost } from '#src/db/connection/primary-host.ts';
import { ReadLanes } from '#src/db/pipeline/read-lanes.ts';
import type { ConnectionPool } from '#src/db/pool/pool.ts';
import type { Logger } from '#src/observability/logger.ts';
import { RetryBudget } from '#src/resilience/retry-budget.ts';

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
