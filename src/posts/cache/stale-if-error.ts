import { TimeoutError, withTimeout } from '#src/async/with-timeout.ts';
import { DatabaseUnavailableError, PoolExhaustedError, StatementTimeoutError } from '#src/db/errors.ts';
import type { Logger } from '#src/observability/logger.ts';
import { OutageLog } from '#src/observability/outage-log.ts';
import { OverloadedError } from '#src/resilience/overloaded-error.ts';

/**
 * Knows whether the database fails, so that calls with a cached answer neither wait for it nor burden it. A failure begins with the first
 * error, or the first slow answer, and ends with the first answer.
 *
 * The log gets a warning at its beginning, and a line at its end.
 */
export class StaleIfError {
  readonly #log: OutageLog;
  readonly #now: () => number;
  readonly #isQueueing: () => boolean;
  #isOn = false;
  #since = 0;
  #tryAt = 0;

  /**
   * @param now a monotonic clock in milliseconds.
   * @param isQueueing whether reads queue. A late answer then shows our own load, and not a failure.
   */
  constructor(log: Logger, now: () => number, isQueueing: () => boolean) {
    this.#log = new OutageLog(
      log,
      'the database fails: what is in the cache is served beyond its time, and marked as stale',
      'the database answers again: no stale answers are served any more',
    );
    this.#now = now;
    this.#isQueueing = isQueueing;
  }

  /** How long it has failed, in milliseconds; 0: it has not. */
  get durationMs(): number {
    return this.#isOn ? this.#now() - this.#since : 0;
  }

  /** Whether to try a read that can wait: once a second during a failure. */
  mayTry(): boolean {
    if (!this.#isOn) return true;
    if (this.#now() < this.#tryAt) return false;
    this.#tryAt = this.#now() + RETRY_MS;
    return true;
  }

  /**
   * The result of the work; undefined if the database fails or is slow, so the caller serves its cached answer. During a failure callers do
   * not wait. Now and then the work begins anyway, and its result serves later callers.
   *
   * @param signal when it aborts, its reason is thrown.
   * @throws the error of the work, if it is not a failure of the database.
   */
  async unlessItFails<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T | undefined> {
    if (this.#isOn) {
      if (this.mayTry()) work().catch(error => this.failed(error));
      return undefined;
    }
    signal?.throwIfAborted();
    const left = Promise.withResolvers<never>();
    const leave = () => left.reject(signal?.reason);
    signal?.addEventListener('abort', leave, { once: true });
    try {
      return await Promise.race([withTimeout(WAIT_MS, work()), left.promise]);
    } catch (error) {
      // Our own load is not an outage, but a reason to serve a cached answer.
      if (error instanceof OverloadedError || error instanceof PoolExhaustedError) return undefined;
      if (error instanceof TimeoutError && this.#isQueueing()) return undefined;
      if (!isOutage(error)) throw error;
      this.#begin(error);
      return undefined;
    } finally {
      signal?.removeEventListener('abort', leave);
    }
  }

  /** A work has failed with this error. */
  failed(error: unknown): void {
    if (isOutage(error)) this.#begin(error);
  }

  /** The database has answered. */
  ended(): void {
    if (!this.#isOn) return;
    this.#isOn = false;
    this.#log.end();
  }

  #begin(cause: unknown): void {
    if (this.#isOn) return;
    this.#isOn = true;
    this.#since = this.#now();
    this.#tryAt = this.#now() + RETRY_MS;
    this.#log.begin(cause);
  }
}

/** Whether this error is a failure of the database, and not of the request. */
function isOutage(error: unknown): boolean {
  return !(error instanceof PoolExhaustedError) && OUTAGES.some(outage => error instanceof outage);
}

const OUTAGES = [DatabaseUnavailableError, StatementTimeoutError, TimeoutError];
/** How long a read may take, in milliseconds, if a cached answer exists. A read usually takes less than one. */
const WAIT_MS = 100;
const RETRY_MS = 1000;
