import type { AdaptiveLimit } from '#src/resilience/adaptive-limit.ts';
import { CRITICALITIES, type Criticality, DEFAULT_CRITICALITY } from '#src/resilience/criticality.ts';

/** The call was refused, so that others can be served: it may be tried again after a while. */
export class OverloadedError extends Error {
  override readonly name = 'OverloadedError';
}

/**
 * Lets as many calls through to a dependency as its limit allows, and keeps some more waiting: the most critical first, and of those who
 * came first. It refuses the least critical ones: where the queue is full, where those before have waited for long already, and who
 * has waited too long. A waiter whose call is aborted, at its deadline or by its client, leaves at once and begins nothing.
 *
 * A queue is there for bursts. Where calls have to wait in it all the time, it only makes all of them slow. So while they wait for longer
 * than a call takes, the time for which they may wait is halved each tenth of a second, down to that, and while they do not it grows again:
 * what is served is served in time (as CoDel wants it: https://queue.acm.org/detail.cfm?id=2839461).
 */
export class Admission {
  readonly #options: AdmissionOptions;
  /** In the order of CRITICALITIES. */
  readonly #queues = CRITICALITIES.map(() => new Set<Waiter>());
  #inFlight = 0;
  #queued = 0;
  /** For how long a critical call may wait now. */
  #patienceMs: number;
  /** When a call last began. */
  #begunAt: number;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#patienceMs = options.queueTimeoutMs;
    this.#begunAt = options.now();
  }

  get state(): AdmissionState {
    return { limit: this.#options.limit.limit, inFlight: this.#inFlight, queued: this.#queued };
  }

  /**
   * Does the work when it may begin.
   *
   * @param isAnswer which errors are answers of the dependency, whose time says how busy it is.
   * @throws OverloadedError where it is refused; the signal's reason, where it aborts before the work begins.
   */
  async run<T>(work: () => Promise<T>, call: AdmittedCall, isAnswer: (error: unknown) => boolean): Promise<T> {
    const { limit, now } = this.#options;
    const criticality = call.criticality ?? DEFAULT_CRITICALITY;
    if (this.#queued > 0 || this.#inFlight >= limit.limit) await this.#wait(criticality, call.signal);
    else {
      this.#inFlight++;
      this.#waited(0);
    }
    const inFlight = this.#inFlight;
    const startedAt = now();
    try {
      const result = await work();
      limit.ended(now() - startedAt, inFlight);
      return result;
    } catch (error) {
      if (isAnswer(error)) limit.ended(now() - startedAt, inFlight);
      throw error;
    } finally {
      this.#inFlight--;
      this.#next();
    }
  }

  #wait(criticality: Criticality, signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    const { queueMax, now } = this.#options;
    const rank = CRITICALITIES.indexOf(criticality);
    const patienceMs = this.#patienceMs * PATIENCE[criticality];
    if (this.#longestWaitMs() > patienceMs) return this.#refuse(criticality, 'too long a queue');
    if (this.#queued >= queueMax && !this.#evictBelow(rank)) return this.#refuse(criticality, 'too many calls wait');
    return new Promise((resolve, reject) => {
      const queue = this.#queues[rank] as Set<Waiter>;
      const leave = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        if (queue.delete(waiter)) this.#queued--;
      };
      const abort = () => {
        leave();
        reject(signal?.reason);
      };
      const waiter: Waiter = {
        since: now(),
        begin: () => {
          leave();
          this.#waited(now() - waiter.since);
          resolve();
        },
        refuse: why => {
          leave();
          this.#refuse(criticality, why).catch(reject);
        },
      };
      const timer = setTimeout(() => waiter.refuse('it took too long until its turn'), patienceMs);
      signal?.addEventListener('abort', abort, { once: true });
      queue.add(waiter);
      this.#queued++;
    });
  }

  /** Begins as many of those who wait as there is room for. */
  #next(): void {
    for (const queue of this.#queues) {
      for (const waiter of queue) {
        if (this.#inFlight >= this.#options.limit.limit) return;
        this.#inFlight++;
        waiter.begin();
      }
    }
  }

  /** A call begins that has waited for so long. */
  #waited(ms: number): void {
    const { queueTimeoutMs, limit, now } = this.#options;
    const at = now();
    const sinceMs = at - this.#begunAt;
    this.#begunAt = at;
    const least = Math.min(queueTimeoutMs, Math.max(SHORTEST_WAIT_MS, limit.unloadedMs));
    if (ms > least) {
      const halvedEachMs = queueTimeoutMs * HALVED_EACH;
      const halvings = Math.min(sinceMs, halvedEachMs) / halvedEachMs;
      this.#patienceMs = Math.max(least, this.#patienceMs * 2 ** -halvings);
    } else if (ms < least / 2 && this.#patienceMs < queueTimeoutMs) {
      const doublings = Math.min(sinceMs, 2 * DOUBLED_EACH_MS) / DOUBLED_EACH_MS;
      this.#patienceMs = Math.min(queueTimeoutMs, this.#patienceMs * 2 ** doublings);
    }
  }

  #longestWaitMs(): number {
    if (this.#queued === 0) return 0;
    const oldest = this.#queues.map(([first]) => first?.since ?? Number.POSITIVE_INFINITY);
    return this.#options.now() - Math.min(...oldest);
  }

  /** Refuses the newest of the least critical ones below this rank, and says whether there was one. */
  #evictBelow(rank: number): boolean {
    for (let lowest = CRITICALITIES.length - 1; lowest > rank; lowest--) {
      const newest = [...(this.#queues[lowest] as Set<Waiter>)].at(-1);
      if (newest === undefined) continue;
      newest.refuse('more critical calls came');
      return true;
    }
    return false;
  }

  #refuse(criticality: Criticality, why: string): Promise<never> {
    this.#options.onRefused?.(criticality);
    return Promise.reject(new OverloadedError(`the service is overloaded: ${why}`));
  }
}

export interface AdmissionOptions {
  readonly limit: Pick<AdaptiveLimit, 'limit' | 'unloadedMs' | 'ended'>;
  /** The most calls that wait. */
  readonly queueMax: number;
  /** How long a critical call waits; the others less, as PATIENCE has it. */
  readonly queueTimeoutMs: number;
  /** Milliseconds of a clock that never jumps. */
  readonly now: () => number;
  readonly onRefused?: (criticality: Criticality) => void;
}

/** What the admission is to know of a call. */
export interface AdmittedCall {
  readonly signal?: AbortSignal | undefined;
  readonly criticality?: Criticality | undefined;
}

export interface AdmissionState {
  /** How many calls may be in flight now. */
  readonly limit: number;
  readonly inFlight: number;
  readonly queued: number;
}

interface Waiter {
  readonly since: number;
  readonly begin: () => void;
  readonly refuse: (why: string) => void;
}

/** Of the longest that calls may wait, which says what a burst is: one is over before the patience has been halved for a few times. */
const HALVED_EACH = 0.4;
const DOUBLED_EACH_MS = 500;
/** Timers are no more exact than some milliseconds. */
const SHORTEST_WAIT_MS = 10;
/** For how much of the time a call waits: what is sheddable leaves as soon as a queue builds up. */
const PATIENCE: Readonly<Record<Criticality, number>> = {
  'critical-plus': 1,
  critical: 1,
  'sheddable-plus': 0.25,
  sheddable: 0.1,
};
