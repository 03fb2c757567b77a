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

/** The ways to the primary. Disposing of it closes its connections, those of the pool when who has them is done. */
export interface Primary extends AsyncDisposable {
  readonly pool: ConnectionPool;
  /** Statements and transactions over the pool. */
  readonly db: Database;
  /** Statements over connections of their own, so many of them, for those who are behind in the change feed. */
  readonly catchUps: Database;
  readonly lanes: ReadLanes;
  /** In front of both. */
  readonly policy: DatabasePolicy;
  /** Reads over the lanes, as the policy lets them. */
  readonly reads: ReadExecutor;
  /** Replaces the connections that are open: they may lead to a server that was the primary. */
  readonly renew: () => void;
  /** Resolves when the first calls will find connections that are open, or after this time: one takes long to open on a busy machine. */
  readonly opened: (withinMs: number) => Promise<void>;
}

/**
 * Opens the ways to the primary as the settings want them, and reports on them, once it answers and has a schema for this code.
 *
 * @param catchUpsMax how many connections there are for `catchUps`.
 * @throws where it can't be reached for a while, or has another schema.
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

/** A database that is up answers well within this, also where the machine is busy with starting everything else. */
const DATABASE_WAIT_MS = 5000;
/** For writes that come together in the first moments; more are opened as they are needed. */
const FIRST_CONNECTIONS = 3;
