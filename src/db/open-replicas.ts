import type { DatabaseConfig } from '#src/config.ts';
import { createDatabasePolicy, type PolicyObserver } from '#src/db/database-policy.ts';
import { GuardedReads } from '#src/db/guarded-reads.ts';
import type { FollowedHistory } from '#src/db/history-note.ts';
import { openReadLanes } from '#src/db/open-read-lanes.ts';
import { ConnectionPool } from '#src/db/pool.ts';
import { ReplicaSet } from '#src/db/replica-set.ts';
import type { SnapshotReads } from '#src/db/snapshot-reads.ts';
import type { Logger } from '#src/observability/logger.ts';

/** Reads over the replicas that the settings name, each with a pool, lanes and a policy of its own. It waits for nothing. */
export function openReplicas(
  config: DatabaseConfig,
  primary: SnapshotReads,
  history: FollowedHistory,
  log: Logger,
  observer: PolicyObserver,
): ReplicaSet {
  const replicas = config.replicaUrls.map((url, n) => {
    const pool = new ConnectionPool(url, config);
    const lanes = openReadLanes(url, config, pool, log);
    return {
      name: new URL(url).host,
      reads: new GuardedReads(lanes, createDatabasePolicy(`replica-${n + 1}`, config, pool, observer)),
      [Symbol.asyncDispose]: async () => {
        await lanes[Symbol.asyncDispose]();
        await pool.end();
      },
    };
  });
  return new ReplicaSet(primary, replicas, history, { maxLagMs: config.replicaMaxLagMs }, log);
}
