import type { DatabaseConfig } from '#src/config.ts';
import { openReadLanes } from '#src/db/open-read-lanes.ts';
import { ConnectionPool } from '#src/db/pool.ts';
import { ReplicaSet } from '#src/db/replica-set.ts';
import type { SnapshotReads } from '#src/db/snapshot-reads.ts';
import type { Logger } from '#src/observability/logger.ts';

/** Reads over the replicas that the settings name, each with a pool and lanes of its own. It waits for nothing. */
export function openReplicas(config: DatabaseConfig, primary: SnapshotReads, log: Logger): ReplicaSet {
  const replicas = config.replicaUrls.map(url => {
    const pool = new ConnectionPool(url, config);
    const lanes = openReadLanes(url, config, pool, log);
    return {
      name: new URL(url).host,
      reads: lanes,
      [Symbol.asyncDispose]: async () => {
        await lanes[Symbol.asyncDispose]();
        await pool.end();
      },
    };
  });
  return new ReplicaSet(primary, replicas, { maxLagMs: config.replicaMaxLagMs }, log);
}
