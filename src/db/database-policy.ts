import { BrokenCircuitError, type BulkheadPolicy, bulkhead } from 'cockatiel';
import type { DatabaseConfig } from '#src/config/config.ts';
import { DatabaseUnavailableError, PoolExhaustedError, StatementTimeoutError } from '#src/db/errors.ts';
import { pingDatabase } from '#src/db/migrations/schema-version.ts';
import type { ConnectionPool } from '#src/db/pool/pool.ts';
import type { ReadExecutor, ReadOptions, ReadStatement, SnapshotRow } from '#src/db/snapshot-reads.ts';
import { Admission, type AdmissionState, type AdmittedCall } from '#src/resilience/admission.ts';
import { CircuitBreaker, type CircuitBreakerState, type GuardedCall } from '#src/resilience/circuit-breaker.ts';
import type { Criticality } from '#src/resilience/criticality.ts';

/**
 * Guards one Postgres, primary or replica. Reads and writes each have a bulkhead of the size of their connections, with an admission in
 * front. Without lanes, both use the pool, and share one of each. One circuit breaker covers all. While it is open, no call waits.
 */
export class DatabasePolicy {
  readonly #breaker: CircuitBreaker;
  readonly #ways: Readonly<Record<'read' | 'write', Way>>;

  /**
   * @param name of the dependency, for metrics.
   * @param pool over which the breaker's probe runs.
   */
  constructor(name: string, config: DatabaseConfig, pool: Pick<ConnectionPool, 'acquire'>, observer: PolicyObserver) {
    const openWay = (where: string, limit: number): Way => {
      const onRefused = (criticality: Criticality) => observer.callShed(where, criticality);
      const admission = new Admission({ limit, queueMax: config.maxWaiting, now, onRefused });
      observer.watchAdmission(where, () => admission.state);
      return { admission, bulkhead: bulkhead(limit, 0) };
    };
    if (config.lanes > 0) {
      const read = openWay(`${name}-reads`, Math.max(config.poolMax, config.lanes * READS_PER_LANE));
      this.#ways = { read, write: openWay(`${name}-writes`, config.poolMax) };
    } else {
      // With two queues, each kind would get half of the connections, however few calls it has.
      const both = openWay(`${name}-pool`, config.poolMax);
      this.#ways = { read: both, write: both };
    }
    this.#breaker = new CircuitBreaker({
      ...BREAKER,
      slowMs: config.slowCallMs,
      openMs: config.breakerOpenMs,
      isFailure,
      probe: () => probe(pool),
      now,
      onStateChange: state => {
        observer.breakerChanged(name, state);
        // A call may wait for long, but not for a database that gets no calls.
        if (state === 'open') for (const { admission } of Object.values(this.#ways)) admission.beginAll();
      },
    });
    observer.breakerChanged(name, this.#breaker.state);
  }

  /**
   * Does the work when its turn comes.
   *
   * @throws DatabaseUnavailableError at once, while the circuit is open; OverloadedError; the signal's reason; errors of the work.
   */
  async run<T>(kind: 'read' | 'write', work: () => Promise<T>, call: AdmittedCall & GuardedCall = {}): Promise<T> {
    const { admission, bulkhead } = this.#ways[kind];
    const attempt = () => this.#breaker.execute(() => bulkhead.execute(work), call);
    // If all running calls hang, later calls wait for their turn, and never reach the breaker.
    this.#breaker.noteSlow();
    try {
      // Open or half open: the attempt fails at once, or is the try.
      return await (this.#breaker.state === 'closed' ? admission.run(attempt, call, isAnswer) : attempt());
    } catch (error) {
      if (!(error instanceof BrokenCircuitError)) throw error;
      throw new DatabaseUnavailableError('the database fails, and gets no calls for now', { cause: error });
    }
  }

  /** The same reads behind this policy. */
  guard(reads: ReadExecutor): ReadExecutor {
    return {
      query: <Row extends SnapshotRow>(
        statement: ReadStatement,
        values: readonly unknown[],
        demand: ReadOptions = {},
      ) => {
        const read = () => {
          demand.begun?.();
          return reads.query<Row>(statement, values, demand);
        };
        return this.run('read', read, demand);
      },
    };
  }

  /** The number of queued calls of a kind. */
  queued(kind: 'read' | 'write'): number {
    return this.#ways[kind].admission.state.queued;
  }

  get state(): {
    readonly breaker: CircuitBreakerState;
    readonly admissions: Readonly<Record<'read' | 'write', AdmissionState>>;
  } {
    const { read, write } = this.#ways;
    return { breaker: this.#breaker.state, admissions: { read: read.admission.state, write: write.admission.state } };
  }
}

interface Way {
  readonly admission: Admission;
  readonly bulkhead: BulkheadPolicy;
}

/** Observes a policy. */
export interface PolicyObserver {
  readonly breakerChanged: (dependency: string, state: string) => void;
  readonly callShed: (where: string, criticality: Criticality) => void;
  readonly watchAdmission: (where: string, state: () => AdmissionState) => void;
}

/** Whether an error is a failure of the database, and not of the request. Undefined: it shows our own load. */
function isFailure(error: unknown): boolean | undefined {
  if (error instanceof PoolExhaustedError) return undefined;
  return error instanceof DatabaseUnavailableError || error instanceof StatementTimeoutError;
}

function isAnswer(error: unknown): boolean {
  return !(error instanceof BrokenCircuitError) && isFailure(error) === false;
}

async function probe(pool: Pick<ConnectionPool, 'acquire'>): Promise<void> {
  if (!(await pingDatabase(pool))) throw new DatabaseUnavailableError('the database does not answer yet');
}

function now(): number {
  return performance.now();
}

/**
 * The window is short enough to open within a second, of which a slow call takes a quarter before it counts as slow. Ten calls suffice;
 * with few calls, five failures in a row do. Most calls must be slow, because large lists may be.
 */
const BREAKER = { failureRate: 0.5, slowRate: 0.8, windowMs: 700, minCalls: 10, consecutiveFailures: 5 };
/** Statements in flight on a lane: enough that Postgres never waits, and few enough that calls queue here. */
const READS_PER_LANE = 8;
