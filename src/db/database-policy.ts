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
 * Guards one Postgres, primary or replica. Reads and writes each have a bulkhead at the size of their connections, and an admission in front of
 * it. With lanes off, both go over the pool, and share one of each. One circuit breaker covers all: while it is open, nobody waits for a turn.
 */
export class DatabasePolicy {
  readonly #breaker: CircuitBreaker;
  readonly #ways: Readonly<Record<'read' | 'write', Way>>;

  /**
   * @param name of the dependency, for metrics.
   * @param pool of connections to it, over which it is tried whether it answers again.
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
      // With a queue for each kind, either would get half of the connections, however few calls of it there are.
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
        // A call may wait for long, but not for a database that is not asked.
        if (state === 'open') for (const { admission } of Object.values(this.#ways)) admission.beginAll();
      },
    });
    observer.breakerChanged(name, this.#breaker.state);
  }

  /**
   * Does the work as soon as there is room.
   *
   * @throws DatabaseUnavailableError at once, while the circuit is open; OverloadedError; the signal's reason; and what the work throws.
   */
  async run<T>(kind: 'read' | 'write', work: () => Promise<T>, call: AdmittedCall & GuardedCall = {}): Promise<T> {
    const { admission, bulkhead } = this.#ways[kind];
    const attempt = () => this.#breaker.execute(() => bulkhead.execute(work), call);
    // Where all that is in flight hangs, later calls wait for their turn, and never come as far as the breaker.
    this.#breaker.noteSlow();
    try {
      // Open or half open: it fails at once, or begins the try.
      return await (this.#breaker.state === 'closed' ? admission.run(attempt, call, isAnswer) : attempt());
    } catch (error) {
      if (!(error instanceof BrokenCircuitError)) throw error;
      throw new DatabaseUnavailableError('the database fails, and is not asked for now', { cause: error });
    }
  }

  /** The same reads, as this policy lets them through. */
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

  /** How many calls of a kind wait for their turn. */
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

/** Who hears of what a policy does. */
export interface PolicyObserver {
  readonly breakerChanged: (dependency: string, state: string) => void;
  readonly callShed: (where: string, criticality: Criticality) => void;
  readonly watchAdmission: (where: string, state: () => AdmissionState) => void;
}

/**
 * Whether an error says that the database fails, and not that the caller asked for something that can't be; undefined: it says that we
 * are busy, and nothing of the database.
 */
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
 * Short enough to open within a second, of which a slow call takes a quarter until it is known to be slow. Ten calls are enough to tell;
 * where there are few, five failures in a row tell it. Most of the calls have to be slow, since lists of much may be.
 */
const BREAKER = { failureRate: 0.5, slowRate: 0.8, windowMs: 700, minCalls: 10, consecutiveFailures: 5 };
/** A lane has several statements in flight: enough that Postgres never waits for the next one, and few enough that they wait here. */
const READS_PER_LANE = 8;
