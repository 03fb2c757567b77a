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
 * What stands in front of one Postgres, primary or replica: reads and writes each have a limit and a queue of their own, and one circuit
 * breaker keeps all of them from a database that fails.
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
  const admission = (kind: string, limit: AdaptiveLimit) => {
    const where = `${name}-${kind}`;
    const { maxWaiting: queueMax, acquireTimeoutMs: queueTimeoutMs } = config;
    const onRefused = (criticality: Criticality) => observer.callShed(where, criticality);
    const opened = new Admission({ limit, queueMax, queueTimeoutMs, now, onRefused });
    observer.watchAdmission(where, () => opened.state);
    return opened;
  };
  const { poolMax } = config;
  // More than there are connections would wait behind the admission; a lane takes many.
  const readsMax = config.lanes === 0 ? poolMax : READS.max;
  const readsMin = Math.min(READS.min, readsMax);
  const limits = {
    read: new AdaptiveLimit({ initial: Math.min(READS.initial, readsMax), min: readsMin, max: readsMax, now }),
    write: new AdaptiveLimit({ initial: poolMax, min: Math.min(WRITES_MIN, poolMax), max: poolMax, now }),
  };
  return new DependencyPolicy(
    breaker,
    { read: admission('reads', limits.read), write: admission('writes', limits.write) },
    isFailure,
  );
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
const READS = { initial: 16, min: 4, max: 400 };
const WRITES_MIN = 2;
