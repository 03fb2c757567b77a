import type { DatabaseConfig } from '#src/config.ts';
import { createDatabase, type Database } from '#src/db/database.ts';
import { createDatabasePolicy, type DatabasePolicy } from '#src/db/database-policy.ts';
import { GuardedReads } from '#src/db/guarded-reads.ts';
import type { ReadLanes } from '#src/db/lanes.ts';
import { openReadLanes } from '#src/db/open-read-lanes.ts';
import { ConnectionPool } from '#src/db/pool.ts';
import { isSchemaUpToDateWithin } from '#src/db/schema-version.ts';
import type { SnapshotReads } from '#src/db/snapshot-reads.ts';
import type { Logger } from '#src/observability/logger.ts';
import type { Metrics } from '#src/observability/metrics.ts';
import { within } from '#src/resilience/within.ts';

/** The ways to the primary. Disposing of it closes its connections, those of the pool when who has them is done. */
export interface Primary extends AsyncDisposable {
  readonly pool: ConnectionPool;
  /** Statements and transactions over the pool. */
  readonly db: Database;
  readonly lanes: ReadLanes;
  /** In front of both. */
  readonly policy: DatabasePolicy;
  /** Reads over the lanes, as the policy lets them. */
  readonly reads: SnapshotReads;
  /** Replaces the connections that are open: they may lead to a server that was the primary. */
  readonly renew: () => void;
  /** Resolves when the first calls will find connections that are open, or after this time: one takes long to open on a busy machine. */
  readonly opened: (withinMs: number) => Promise<void>;
}

/**
 * Opens the ways to the primary as the settings want them, and reports on them, once it answers and has a schema for this code.
 *
 * @throws where it can't be reached for a while, or has another schema.
 */
export async function openPrimary(
  url: string,
  config: DatabaseConfig,
  log: Logger,
  metrics: Metrics,
): Promise<Primary> {
  const pool = new ConnectionPool(url, config, {
    waited: ms => metrics.poolWaited(ms / 1000),
    held: ms => metrics.poolHeld(ms / 1000),
    leaked: held => {
      metrics.poolLeaked();
      log.warn(held, 'a connection of the pool is held for too long');
    },
  });
  const db = createDatabase(pool);
  try {
    await requireSchema(db);
  } catch (error) {
    await db.destroy();
    throw error;
  }
  const lanes = openReadLanes(url, config, pool, log);
  const policy = createDatabasePolicy('primary', config, pool, metrics);
  metrics.readFrom({
    poolInUse: () => pool.state.total - pool.state.idle,
    poolIdle: () => pool.state.idle,
    poolWaiting: () => pool.state.waiting,
    lanesUp: () => lanes.state.up,
    lanesInFlight: () => lanes.state.inFlight,
  });
  return {
    ...{ pool, db, lanes, policy },
    reads: new GuardedReads(lanes, policy),
    renew: () => {
      pool.renew();
      lanes.renew();
    },
    opened: async withinMs => {
      await Promise.all([lanes.opened(withinMs), within(withinMs, pool.open(FIRST_CONNECTIONS)).catch(() => {})]);
    },
    [Symbol.asyncDispose]: async () => {
      await lanes[Symbol.asyncDispose]();
      await db.destroy();
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
