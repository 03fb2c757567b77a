import { setImmediate as turn } from 'node:timers/promises';
import type { DatabaseConfig } from '#src/config/config.ts';
import { ReadLanes, type ReadLanesOptions } from '#src/db/pipeline/read-lanes.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';

/** Lanes over a pool, as the service has them, and what went over which. */
export interface TestLanes extends AsyncDisposable {
  readonly lanes: ReadLanes;
  readonly pool: ConnectionPool;
  /** How many reads went over the pool. */
  readonly overPool: number;
  /** Resolves when so many lanes are up. */
  untilUp(count: number): Promise<void>;
}

/**
 * Opens two lanes, and a pool at its defaults.
 *
 * @param options.lanesUrl for lanes that take another way to the same Postgres.
 */
export function openLanes(
  url: string,
  options: Partial<ReadLanesOptions> & {
    readonly lanesUrl?: string;
    readonly database?: Partial<DatabaseConfig>;
  } = {},
): TestLanes {
  const { lanesUrl = url, database, ...lanesOptions } = options;
  const config = aDatabaseConfig(database);
  const pool = new ConnectionPool(url, config);
  let overPool = 0;
  const counted: Pick<ConnectionPool, 'acquire'> = {
    acquire: signal => {
      overPool++;
      return pool.acquire(signal);
    },
  };
  const lanes = new ReadLanes(
    lanesUrl,
    { ...config, count: 2, named: true, maxInFlight: 10_000, ...lanesOptions },
    counted,
  );
  return {
    lanes,
    pool,
    get overPool() {
      return overPool;
    },
    untilUp: async count => {
      while (lanes.state.up !== count) await turn();
    },
    [Symbol.asyncDispose]: async () => {
      await lanes[Symbol.asyncDispose]();
      await pool.end();
    },
  };
}
