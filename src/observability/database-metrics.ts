import { Counter, Gauge, Histogram, type Registry } from 'prom-client';

/**
 * Metrics of the connections to each database: `primary`, and `replica-1` and so on in the order of the settings. Series of the primary
 * have no label. Those of a replica have the label `dependency`, like its circuit breaker.
 */
export interface DatabaseMetrics {
  /** A caller waited this long for a pooled connection. */
  readonly poolWaited: (database: string, seconds: number) => void;
  /** A caller held a pooled connection this long. */
  readonly poolHeld: (database: string, seconds: number) => void;
  /** A caller has held a pooled connection for too long. */
  readonly poolLeaked: (database: string) => void;
  /** Adds the readings of a database. They are read each time metrics are rendered. */
  readonly watchDatabase: (database: string, readings: DatabaseReadings) => void;
}

/** Functions that return the current state of the connections to a database. */
export interface DatabaseReadings {
  /** Pooled connections that a call holds, and those that are idle. */
  readonly poolInUse: () => number;
  readonly poolIdle: () => number;
  /** Calls that wait for a pooled connection. */
  readonly poolWaiting: () => number;
  /** Connected lanes, and reads in flight on them. */
  readonly lanesUp: () => number;
  readonly lanesInFlight: () => number;
}

export function createDatabaseMetrics(registers: Registry[]): DatabaseMetrics {
  const options = { registers, labelNames: ['dependency'] };
  const poolWait = new Histogram({
    ...options,
    name: 'db_pool_wait_seconds',
    help: 'Time that callers waited for a pooled connection.',
    buckets: POOL_BUCKETS,
  });
  const poolHold = new Histogram({
    ...options,
    name: 'db_pool_hold_seconds',
    help: 'Time that callers held a pooled connection.',
    buckets: POOL_BUCKETS,
  });
  const poolLeaks = new Counter({
    ...options,
    name: 'db_pool_leaks_total',
    help: 'Pooled connections that were held for too long. The log names the callers.',
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
      // All series must exist from the start.
      poolWait.zero(labelsOf(database));
      poolHold.zero(labelsOf(database));
      poolLeaks.inc(labelsOf(database), 0);
    },
  };
}

function labelsOf(database: string): { dependency?: string } {
  return database === 'primary' ? {} : { dependency: database };
}

/** Seconds, from an idle connection to a long transaction. */
const POOL_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5, 30];

const READINGS: readonly (readonly [reading: keyof DatabaseReadings, name: string, help: string])[] = [
  ['poolInUse', 'db_pool_in_use', 'Pooled connections that a call holds.'],
  ['poolIdle', 'db_pool_idle', 'Idle pooled connections.'],
  ['poolWaiting', 'db_pool_waiting', 'Calls that wait for a pooled connection.'],
  ['lanesUp', 'db_lanes_up', 'Open connections for pipelined reads.'],
  ['lanesInFlight', 'db_lanes_in_flight', 'Pipelined reads in flight.'],
];
