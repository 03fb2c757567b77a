import type { DatabaseConfig } from '#src/config.ts';
import { DatabaseUnavailableError, PoolExhaustedError, StatementTimeoutError } from '#src/db/errors.ts';
import type { ConnectionPool } from '#src/db/pool.ts';
import { pingDatabase } from '#src/db/schema-version.ts';
import { Admission, type AdmissionState } from '#src/resilience/admission.ts';
import { CircuitBreaker } from '#src/resilience/circuit-breaker.ts';
import type { Criticality } from '#src/resilience/criticality.ts';
import { DependencyPolicy } from '#src/resilience/dependency-policy.ts';

/** The policy for calls to one Postgres. */
export type DatabasePolicy = DependencyPolicy<'read' | 'write'>;

/** Who hears of what a policy does. */
export interface PolicyObserver {
  readonly breakerChanged: (dependency: string, state: string) => void;
  readonly callShed: (where: string, criticality: Criticality) => void;
  readonly watchAdmission: (where: string, state: () => AdmissionState) => void;
}

/**
 * What stands in front of one Postgres, primary or replica: reads and writes each have a limit and a queue of their own, where they go
 * over connections of their own, and one of both, where lanes are off and all go over the pool; and one circuit breaker keeps all of them
 * from a database that fails.
 *
 * @param name of the dependency, for metrics.
 * @param pool of connections to it, over which it is tried whether it answers again.
 */
export function createDatabasePolicy(
  name: string,
  config: DatabaseConfig,
  pool: Pick<ConnectionPool, 'acquire'>,
  observer: PolicyObserver,
): DatabasePolicy {
  const admission = (where: string, limit: number) => {
    const onRefused = (criticality: Criticality) => observer.callShed(where, criticality);
    const opened = new Admission({ limit, queueMax: config.maxWaiting, now, onRefused });
    observer.watchAdmission(where, () => opened.state);
    return opened;
  };
  const admissions = config.lanes === 0 ? ofOnePool() : ofEach();
  const breaker = new CircuitBreaker({
    ...BREAKER,
    slowMs: config.slowCallMs,
    openMs: config.breakerOpenMs,
    isFailure,
    probe: () => probe(pool),
    now,
    onStateChange: state => {
      observer.breakerChanged(name, state);
      // A call may wait for long, but not for a database that is not asked.
      if (state === 'open') for (const opened of Object.values(admissions)) opened.beginAll();
    },
  });
  observer.breakerChanged(name, breaker.state);
  return new DependencyPolicy(breaker, admissions, isFailure);

  function ofEach() {
    const read = admission(`${name}-reads`, Math.max(config.poolMax, config.lanes * READS_PER_LANE));
    return { read, write: admission(`${name}-writes`, config.poolMax) };
  }

  // With a queue for each kind, either would get half of the connections, however few calls of it there are, and together they would let
  // twice as many through as there are connections.
  function ofOnePool() {
    const both = admission(`${name}-pool`, config.poolMax);
    return { read: both, write: both };
  }
}

/**
 * Whether an error says that the database fails, and not that the caller asked for something that can't be; undefined: it says that we
 * are busy, and nothing of the database.
 */
function isFailure(error: unknown): boolean | undefined {
  if (error instanceof PoolExhaustedError) return undefined;
  return error instanceof DatabaseUnavailableError || error instanceof StatementTimeoutError;
}

async function probe(pool: Pick<ConnectionPool, 'acquire'>): Promise<void> {
  if (!(await pingDatabase(pool))) throw new DatabaseUnavailableError('the database does not answer yet');
}

function now(): number {
  return performance.now();
}

/**
 * Short enough to open within a second, of which a slow call takes a quarter until it is known to be slow; and ten calls are enough to
 * tell; five failures in a row tell it where there are few. Most of the calls have to be slow, since lists of much may be.
 */
const BREAKER = { failureRate: 0.5, slowRate: 0.8, windowMs: 700, minCalls: 10, consecutiveFailures: 5 };
/** A lane has several statements in flight: enough that Postgres never waits for the next one, and few enough that they wait here. */
const READS_PER_LANE = 8;
