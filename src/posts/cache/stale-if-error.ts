import { TimeoutError, withTimeout } from '#src/async/with-timeout.ts';
import { DatabaseUnavailableError, PoolExhaustedError, StatementTimeoutError } from '#src/db/errors.ts';
import type { Logger } from '#src/observability/logger.ts';
import { OutageLog } from '#src/observability/outage-log.ts';
import { OverloadedError } from '#src/resilience/overloaded-error.ts';

/**
 * Whether the database fails, as far as who reads it can tell: so that what can be served from a cache does not wait for it, and does
 * not burden it. It begins with the first failure, or the first answer that takes too long, and ends with the first answer.
 *
 * The log has a warning when it begins, and a line when it has ended.
 */
export class StaleIfError {
  readonly #log: OutageLog;
  readonly #now: () => number;
  readonly #isQueueing: () => boolean;
  #isOn = false;
  #since = 0;
  #tryAt = 0;

  /**
   * @param now milliseconds of a clock that never jumps.
   * @param isQueueing whether calls wait for their turn to read: an answer that is late then says how busy we are.
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

  /** For how long it has failed; 0: it does not. */
  get durationMs(): number {
    return this.#isOn ? this.#now() - this.#since : 0;
  }

  /** Whether to ask the database for what can wait: once a second while it fails. */
  mayTry(): boolean {
    if (!this.#isOn) return true;
    if (this.#now() < this.#tryAt) return false;
    this.#tryAt = this.#now() + RETRY_MS;
    return true;
  }

  /**
   * The result of the work, or undefined where the database fails or takes long: the caller has something to serve instead. While it
   * fails nobody waits for it; the work is begun now and then all the same, and its result is left to whom it serves next.
   *
   * @param signal where it aborts, its reason is thrown.
   * @throws what the work does, where that is no failure of the database.
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
      // That we are busy is no outage, and a reason to serve what there is.
      if (error instanceof OverloadedError || error instanceof PoolExhaustedError) return undefined;
      if (error instanceof TimeoutError && this.#isQueueing()) return undefined;
      if (!isOutage(error)) throw error;
      this.#begin(error);
      return undefined;
    } finally {
      signal?.removeEventListener('abort', leave);
    }
  }

  /** A work ended with this error. */
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

/** Whether this error says that the database fails, rather than that the caller asked for something that can't be. */
function isOutage(error: unknown): boolean {
  return !(error instanceof PoolExhaustedError) && OUTAGES.some(outage => error instanceof outage);
}

const OUTAGES = [DatabaseUnavailableError, StatementTimeoutError, TimeoutError];
/** How long to wait for what can be served from the cache as well, in milliseconds: a read takes less than one by far. */
const WAIT_MS = 100;
const RETRY_MS = 1000;
