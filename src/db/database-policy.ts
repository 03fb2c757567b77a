import type { DatabaseConfig } from '#src/config.ts';
import { DatabaseUnavailableError, PoolExhaustedError, StatementTimeoutError } from '#src/db/errors.ts';
import type { ConnectionPool } from '#src/db/pool.ts';
import { pingDatabase } from '#src/db/schema-version.ts';
import { AdaptiveLimit } from '#src/resilience/adaptive-limit.ts';
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
  const breaker = new CircuitBreaker({
    ...BREAKER,
    slowMs: config.slowCallMs,
    openMs: config.breakerOpenMs,
    isFailure,
    probe: () => probe(pool),
    now,
    onStateChange: state => observer.breakerChanged(name, state),
  });
  observer.breakerChanged(name, breaker.state);
  const { poolMax } = config;
  const admission = (where: string, { initial, min, max }: LimitRange) => {
    const limit = new AdaptiveLimit({ initial: Math.min(initial, max), min: Math.min(min, max), max, now });
    const { maxWaiting: queueMax, acquireTimeoutMs: queueTimeoutMs } = config;
    const onRefused = (criticality: Criticality) => observer.callShed(where, criticality);
    const opened = new Admission({ limit, queueMax, queueTimeoutMs, now, onRefused });
    observer.watchAdmission(where, () => opened.state);
    return opened;
  };
  return new DependencyPolicy(breaker, config.lanes === 0 ? ofOnePool() : ofEach(), isFailure);

  function ofEach() {
    return { read: admission(`${name}-reads`, READS), write: admission(`${name}-writes`, { ...WRITES, max: poolMax }) };
  }

  // With a queue for each kind, either would get half of the connections, however few calls of it there are, and together they would let
  // twice as many through as there are connections.
  function ofOnePool() {
    const both = admission(`${name}-pool`, { ...READS, max: poolMax });
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
/** From what a Postgres of two cores does at once, to what one of a hundred does. */
const READS: LimitRange = { initial: 16, min: 4, max: 400 };
const WRITES = { initial: Number.POSITIVE_INFINITY, min: 2 };

/** Of an adaptive limit; `max` goes before the others. */
interface LimitRange {
  readonly initial: number;
  readonly min: number;
  readonly max: number;
}
