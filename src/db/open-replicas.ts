import type { DatabaseConfig } from '#src/config/config.ts';
import type { DatabasePolicy, PolicyObserver } from '#src/db/database-policy.ts';
import type { FollowedHistory } from '#src/db/history-note.ts';
import { openPool, openReads } from '#src/db/open-reads.ts';
import type { ReadLanes } from '#src/db/pipeline/read-lanes.ts';
import type { ConnectionPool } from '#src/db/pool/pool.ts';
import { ReplicaSet } from '#src/db/replicas/replica-set.ts';
import type { ReadExecutor } from '#src/db/snapshot-reads.ts';
import type { DatabaseMetrics } from '#src/observability/database-metrics.ts';
import type { Logger } from '#src/observability/logger.ts';

/** The connections to one replica. */
export interface Replica {
  /** Its host and port. */
  readonly name: string;
  readonly pool: ConnectionPool;
  readonly lanes: ReadLanes;
  readonly policy: DatabasePolicy;
}

/** Opens the configured replicas, each with its own pool, lanes and policy. It waits for nothing. */
export function openReplicas(
  config: DatabaseConfig,
  primary: ReadExecutor,
  history: FollowedHistory,
  log: Logger,
  metrics: DatabaseMetrics & PolicyObserver,
): { readonly set: ReplicaSet; readonly replicas: readonly Replica[] } {
  const opened = config.replicaUrls.map((url, n) => {
    const label = `replica-${n + 1}`;
    const pool = openPool(label, url, config, log, metrics);
    const replica = { name: new URL(url).host, pool, ...openReads(label, url, config, pool, log, metrics) };
    return {
      ...replica,
      [Symbol.asyncDispose]: async () => {
        await replica.lanes[Symbol.asyncDispose]();
        await pool.end();
      },
    };
  });
  return { set: new ReplicaSet(primary, opened, history, { maxLagMs: config.replicaMaxLagMs }, log), replicas: opened };
}
