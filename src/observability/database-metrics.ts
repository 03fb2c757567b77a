import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/**
 * Metrics of the ways to each database: `primary`, and `replica-1` and so on in the order of the settings. Series of the primary have no
 * label; those of a replica have `dependency`, as its circuit breaker has.
 */
export interface DatabaseMetrics {
  /** A caller has waited so many seconds for a connection of the pool. */
  readonly poolWaited: (database: string, seconds: number) => void;
  /** And has held it for so many. */
  readonly poolHeld: (database: string, seconds: number) => void;
  /** A connection of the pool is held for longer than it should be. */
  readonly poolLeaked: (database: string) => void;
  /** Where to look for what its connections do, each time that metrics are rendered. */
  readonly watchDatabase: (database: string, readings: DatabaseReadings) => void;
}

/** What the connections to a database do at each moment. */
export interface DatabaseReadings {
  /** Connections of the pool that a call has, and those that none has. */
  readonly poolInUse: () => number;
  readonly poolIdle: () => number;
  /** Calls that wait for one. */
  readonly poolWaiting: () => number;
  /** Lanes that are connected, and reads on them that have no answer yet. */
  readonly lanesUp: () => number;
  readonly lanesInFlight: () => number;
}

export function createDatabaseMetrics(registers: Registry[]): DatabaseMetrics {
  const options = { registers, labelNames: ['dependency'] };
  const poolWait = new Histogram({
    ...options,
    name: 'db_pool_wait_seconds',
    help: 'For how long callers waited for a connection of the pool.',
    buckets: POOL_BUCKETS,
  });
  const poolHold = new Histogram({
    ...options,
    name: 'db_pool_hold_seconds',
    help: 'For how long they held it.',
    buckets: POOL_BUCKETS,
  });
  const poolLeaks = new Counter({
    ...options,
    name: 'db_pool_leaks_total',
    help: 'Connections of the pool that were held for longer than they should be; the log says by whom.',
  });
  const watched = new Map<string, DatabaseReadings>();
  for (const [reading, name, help] of READINGS) {
    const gauge: Gauge = new Gauge({
      ...{ ...options, name, help },
      collect: () => {
        for (const [database, readings] of watched) gauge.set(labelsOf(database), readings[reading]());
      },
    });
  }
  return {
    poolWaited: (database, seconds) => poolWait.observe(labelsOf(database), seconds),
    poolHeld: (database, seconds) => poolHold.observe(labelsOf(database), seconds),
    poolLeaked: database => poolLeaks.inc(labelsOf(database)),
    watchDatabase: (database, readings) => {
      watched.set(database, readings);
      // So that all series are there from the beginning.
      poolWait.zero(labelsOf(database));
      poolHold.zero(labelsOf(database));
      poolLeaks.inc(labelsOf(database), 0);
    },
  };
}

function labelsOf(database: string): { dependency?: string } {
  return database === 'primary' ? {} : { dependency: database };
}

/** From a connection that is free to a transaction that takes long, in seconds. */
const POOL_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30];

const READINGS: readonly (readonly [reading: keyof DatabaseReadings, name: string, help: string])[] = [
  ['poolInUse', 'db_pool_in_use', 'Connections of the pool that a call has.'],
  ['poolIdle', 'db_pool_idle', 'Connections of the pool that no call has.'],
  ['poolWaiting', 'db_pool_waiting', 'Calls that wait for a connection of the pool.'],
  ['lanesUp', 'db_lanes_up', 'Connections for pipelined reads that are up.'],
  ['lanesInFlight', 'db_lanes_in_flight', 'Pipelined reads that have no answer yet.'],
];
