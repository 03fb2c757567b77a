import { withTimeout } from '#src/async/with-timeout.ts';
import type { DatabaseConfig } from '#src/config/config.ts';
import type { PrimaryHost } from '#src/db/connection/primary-host.ts';
import { createDatabase, type Database } from '#src/db/database.ts';
import type { DatabasePolicy } from '#src/db/database-policy.ts';
import { isSchemaUpToDateWithin } from '#src/db/migrations/schema-version.ts';
import { openPool, openReads } from '#src/db/open-reads.ts';
import type { ReadLanes } from '#src/db/pipeline/read-lanes.ts';
import type { ConnectionPool } from '#src/db/pool/pool.ts';
import type { ReadExecutor } from '#src/db/snapshot-reads.ts';
import type { Logger } from '#src/observability/logger.ts';
import type { Metrics } from '#src/observability/metrics.ts';

/** The connections to the primary. Disposing of it closes them, those of the pool when their callers are done. */
export interface Primary extends AsyncDisposable {
  readonly pool: ConnectionPool;
  /** Statements and transactions over the pool. */
  readonly db: Database;
  /** Statements of catch-ups, over their own connections. */
  readonly catchUps: Database;
  readonly lanes: ReadLanes;
  /** Guards the pool and the lanes. */
  readonly policy: DatabasePolicy;
  /** Reads over the lanes, behind the policy. */
  readonly reads: ReadExecutor;
  /** Replaces the open connections, which may lead to a former primary. */
  readonly renew: () => void;
  /** Resolves when connections are open for the first calls, or after this time: opening one takes long on a busy machine. */
  readonly opened: (withinMs: number) => Promise<void>;
}

/**
 * Opens the connections to the primary, with metrics, once it answers and has a schema for this code.
 *
 * @param catchUpsMax the number of connections of `catchUps`.
 * @throws if the primary cannot be reached for a while, or has another schema.
 */
export async function openPrimary(
  host: PrimaryHost,
  config: DatabaseConfig,
  catchUpsMax: number,
  log: Logger,
  metrics: Metrics,
): Promise<Primary> {
  const pool = openPool('primary', host, config, log, metrics);
  const db = createDatabase(pool);
  const catchUpPool = openPool('primary-catch-ups', host, { ...config, poolMax: catchUpsMax }, log, metrics);
  const catchUps = createDatabase(catchUpPool);
  try {
    await requireSchema(db);
  } catch (error) {
    await Promise.all([db.destroy(), catchUps.destroy()]);
    throw error;
  }
  const { lanes, policy, reads } = openReads('primary', host, config, pool, log, metrics);
  return {
    ...{ pool, db, catchUps, lanes, policy, reads },
    renew: () => {
      pool.renew();
      catchUpPool.renew();
      lanes.renew();
    },
    opened: async withinMs => {
      await Promise.all([lanes.opened(withinMs), withTimeout(withinMs, pool.open(FIRST_CONNECTIONS)).catch(() => {})]);
    },
    [Symbol.asyncDispose]: async () => {
      await lanes[Symbol.asyncDispose]();
      await Promise.all([db.destroy(), catchUps.destroy()]);
    },
  };
}

async function requireSchema(db: Database): Promise<void> {
  if (await isSchemaUpToDateWithin(db, DATABASE_WAIT_MS)) return;
  throw new Error('the database has no schema of this version: run npx node src/main.ts migrate first');
}

/** A running database answers well within this, also while the machine is busy with the start. */
const DATABASE_WAIT_MS = 5000;
/** For concurrent writes in the first moments. More are opened on demand. */
const FIRST_CONNECTIONS = 3;
