import { redactConfig } from '#src/admin/redacted-config.ts';
import type { Config } from '#src/config/config.ts';
import type { PrimaryHost } from '#src/db/connection/primary-host.ts';
import type { Primary, Replica } from '#src/db/open-database.ts';
import type { ReplicaSet } from '#src/db/replicas/replica-set.ts';
import type { OpenPostCache } from '#src/posts/cache/open-post-cache.ts';
import type { LoadShedder } from '#src/resilience/load-shedder.ts';

/** What the reports describe. */
export interface ReportedParts {
  readonly config: Config;
  readonly primaryHost: PrimaryHost;
  readonly primary: Primary;
  readonly replicas: readonly Replica[];
  readonly replicaSet: ReplicaSet;
  readonly cache: OpenPostCache;
  readonly shedder: LoadShedder;
}

/** The reports of the admin port by path: settings, circuit breakers, connections to Postgres. */
export function createReports(parts: ReportedParts): Readonly<Record<string, () => unknown>> {
  const { config, primaryHost, primary, replicas, replicaSet, cache, shedder } = parts;
  const forEachReplica = (report: (replica: Replica) => unknown) =>
    Object.fromEntries(replicas.map(replica => [replica.name, report(replica)]));
  return {
    '/configz': () => redactConfig(config),
    '/breakerz': () => ({
      primary: primary.policy.state,
      replicas: forEachReplica(({ policy }) => policy.state),
      redis: cache.state().redis,
      sheddingPressure: shedder.pressure,
    }),
    '/poolz': () => ({
      primary: primaryHost.server,
      ...connectionsOf(primary),
      replicas: forEachReplica(replica => ({
        isReadFrom: replicaSet.state[replica.name],
        ...connectionsOf(replica),
      })),
    }),
  };
}

function connectionsOf({ pool, lanes }: Pick<Replica, 'pool' | 'lanes'>) {
  return { pool: pool.state, held: pool.heldConnections, lanes: lanes.state };
}
