import { CRITICALITIES, type Criticality, DEFAULT_CRITICALITY } from '#src/resilience/criticality.ts';
import { QueueGrowth } from '#src/resilience/queue-growth.ts';
import { type LinePlace, WaitingLine } from '#src/resilience/waiting-line.ts';

/** The call was refused, so that others can be served: it may be tried again after a while. */
export class OverloadedError extends Error {
  override readonly name = 'OverloadedError';
}

/**
 * Lets as many calls through to a dependency as it takes at once, and keeps the others waiting: the most critical begin first, and of
 * those who came first. A call may wait for as long as its deadline allows, and leaves at once when it is aborted.
 *
 * Only overload shortens the wait: the queue keeps growing (QueueGrowth), and calls in it have waited for most of a tenth of their time.
 * Then the newest begin first, and those are refused that have waited for so long, the least critical sooner. So what is served is served
 * in time, and the others know soon. That lasts for a moment, and then it looks again whether the queue grows if nobody is refused:
 * callers who come back at once, because they were refused, must not keep an overload alive.
 *
 * It also refuses whose turn comes too late for an answer, and the least critical where `queueMax` calls wait.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  /** In the order of CRITICALITIES. */
  readonly #lines = CRITICALITIES.map(() => new WaitingLine<Waiter>());
  readonly #growth: QueueGrowth;
  #inFlight = 0;
  #queued = 0;
  /** How long a call takes at least, as most do, once it has begun. */
  #tookMs = 0;
  #lookAt = 0;
  /** A call in the queue has waited for as long as calls do under overload. */
  #isLate = false;
  /** Calls are refused until then; undefined: none are. */
  #shedsUntil: number | undefined;
  #shedForMs = SHED_FIRST_MS;

  constructor(options: AdmissionOptions) {
    this.#options = options;
    this.#growth = new QueueGrowth(options.now());
  }

  get state(): AdmissionState {
    return { limit: this.#options.limit, inFlight: this.#inFlight, queued: this.#queued };
  }

  /**
   * Does the work when it may begin.
   *
   * @param isAnswer which errors are answers of the dependency, whose time says how long it takes.
   * @throws OverloadedError where it is refused; the signal's reason, where it aborts before the work begins.
   */
  async run<T>(work: () => Promise<T>, call: AdmittedCall, isAnswer: (error: unknown) => boolean): Promise<T> {
    const { limit, now } = this.#options;
    if (this.#queued > 0 || this.#inFlight >= limit) await this.#wait(call);
    else this.#inFlight++;
    const startedAt = now();
    try {
      const result = await work();
      this.#answered(now() - startedAt);
      return result;
    } catch (error) {
      if (isAnswer(error)) this.#answered(now() - startedAt);
      throw error;
    } finally {
      this.#inFlight--;
      this.#next();
    }
  }

  /** Begins all who wait, whatever the limit: for when the dependency is not asked for now, so that each fails at once. */
  beginAll(): void {
    for (const line of this.#lines)
      for (let first = line.oldest; first !== undefined; first = line.oldest) this.#begin(first);
  }

  #wait(call: AdmittedCall): Promise<void> {
    const { signal, criticality = DEFAULT_CRITICALITY } = call;
    if (signal?.aborted) return Promise.reject(signal.reason);
    const { queueMax, now } = this.#options;
    const rank = CRITICALITIES.indexOf(criticality);
    if (this.#queued >= queueMax && !this.#evictBelow(rank)) return Promise.reject(this.#refusal(criticality, CROWDED));
    return new Promise((resolve, reject) => {
      const line = this.#lines[rank] as WaitingLine<Waiter>;
      const since = now();
      const leave = () => {
        signal?.removeEventListener('abort', abort);
        line.remove(waiter);
        this.#queued--;
        this.#growth.observe(this.#queued, now());
      };
      const abort = () => {
        leave();
        reject(signal?.reason);
      };
      const waiter: Waiter = {
        since,
        deadline: () => call.deadline?.() ?? since + NO_DEADLINE_MS,
        patience: PATIENCE[criticality],
        before: undefined,
        after: undefined,
        begin: () => {
          leave();
          resolve();
        },
        refuse: why => {
          leave();
          reject(this.#refusal(criticality, why));
        },
      };
      signal?.addEventListener('abort', abort, { once: true });
      line.add(waiter);
      this.#queued++;
      this.#growth.observe(this.#queued, since);
      this.#look();
    });
  }

  /** Begins as many of those who wait as there is room for. */
  #next(): void {
    const { limit, now } = this.#options;
    this.#look();
    while (this.#inFlight < limit && this.#queued > 0) {
      const waiter = this.#first();
      if (waiter === undefined) return;
      // It would take the turn of another, and its caller would not wait for the answer.
      if (waiter.deadline() - now() < MARGIN * this.#tookMs) waiter.refuse(TOO_LATE);
      else this.#begin(waiter);
    }
  }

  #begin(waiter: Waiter): void {
    this.#inFlight++;
    waiter.begin();
  }

  #first(): Waiter | undefined {
    // Where not all can be served, who came first has waited in vain, and so would the next.
    const newestFirst = this.#shedsUntil !== undefined || (this.#isLate && this.#growth.isGrowing);
    for (const line of this.#lines) if (line.oldest !== undefined) return newestFirst ? line.newest : line.oldest;
    return undefined;
  }

  /** Finds out whether there is overload, and refuses those who have waited for too long then. */
  #look(): void {
    const now = this.#options.now();
    if (now < this.#lookAt) return;
    this.#lookAt = now + LOOK_EACH_MS;
    if (this.#shedsUntil !== undefined && (now >= this.#shedsUntil || this.#queued === 0)) {
      this.#shedsUntil = undefined;
      this.#growth.restart(this.#queued, now);
    }
    const late = this.#late(now);
    this.#isLate = late.length > 0;
    if (this.#shedsUntil === undefined) {
      if (!this.#growth.isGrowing) this.#shedForMs = SHED_FIRST_MS;
      if (!this.#isLate || !this.#growth.isLasting) return;
      this.#shedsUntil = now + this.#shedForMs;
      this.#shedForMs = Math.min(2 * this.#shedForMs, SHED_MOST_MS);
    }
    for (const waiter of late) waiter.refuse(TOO_LONG);
  }

  /** Those who have waited for as long as they may under overload, the least critical first. */
  #late(now: number): Waiter[] {
    const late: Waiter[] = [];
    for (const line of this.#lines.toReversed()) {
      for (let waiter = line.oldest; waiter !== undefined; waiter = waiter.after as Waiter | undefined) {
        const { since, deadline, patience } = waiter;
        const ms = Math.max(SHORT_QUEUE * this.#tookMs, (deadline() - since) * SHARE - MARGIN * this.#tookMs);
        if (now - since > ms * patience) late.push(waiter);
      }
    }
    return late;
  }

  #answered(ms: number): void {
    this.#tookMs += (ms - this.#tookMs) * (ms < this.#tookMs ? FALL : RISE);
  }

  /** Refuses the newest of the least critical ones below this rank, and says whether there was one. */
  #evictBelow(rank: number): boolean {
    for (let lowest = CRITICALITIES.length - 1; lowest > rank; lowest--) {
      const newest = this.#lines[lowest]?.newest;
      if (newest === undefined) continue;
      newest.refuse('more critical calls came');
      return true;
    }
    return false;
  }

  #refusal(criticality: Criticality, why: string): OverloadedError {
    this.#options.onRefused?.(criticality);
    return new OverloadedError(`the service is overloaded: ${why}`);
  }
}

export interface AdmissionOptions {
  /** The most calls in flight at once: as many as the dependency has connections for. */
  readonly limit: number;
  /** The most calls that wait. */
  readonly queueMax: number;
  /** Milliseconds of a clock that never jumps: `performance.now()`, where calls have a deadline. */
  readonly now: () => number;
  readonly onRefused?: (criticality: Criticality) => void;
}

/** What the admission must know of a call. It reads the deadline only of a call that has to wait. */
export interface AdmittedCall {
  readonly signal?: AbortSignal | undefined;
  /**
   * When nobody waits for the answer any more, by the admission's clock: asked for again and again, since more callers may join in.
   * Undefined: the default of calls, 10 s after it began to wait.
   */
  readonly deadline?: (() => number | undefined) | undefined;
  readonly criticality?: Criticality | undefined;
}

export interface AdmissionState {
  /** How many calls may be in flight at once. */
  readonly limit: number;
  readonly inFlight: number;
  readonly queued: number;
}

interface Waiter extends LinePlace {
  readonly since: number;
  readonly deadline: () => number;
  /** Under overload it waits for this part of what a critical call does. */
  readonly patience: number;
  readonly begin: () => void;
  readonly refuse: (why: string) => void;
}

const CROWDED = 'too many calls wait';
const TOO_LATE = 'the turn came too late for an answer in time';
const TOO_LONG = 'it took too long until its turn';

/** Under overload a call has its answer within this part of its time, or is refused. */
const SHARE = 0.1;
/** What a call takes varies: for it to be answered in time, there must be as much time as this many take. */
const MARGIN = 2;
/** A queue that keeps all connections busy, in times that a call takes: even under overload, and short deadlines, calls may wait for it. */
const SHORT_QUEUE = 1.7;
/** Under overload what is sheddable goes almost at once. */
const PATIENCE: Readonly<Record<Criticality, number>> = {
  'critical-plus': 1,
  critical: 1,
  'sheddable-plus': 0.25,
  sheddable: 0.1,
};
/** Short at first, in case they are only callers who came one after the other. */
const SHED_FIRST_MS = 250;
const SHED_MOST_MS = 2000;
/** Often enough for those who wait, and seldom enough for a queue of a thousand. */
const LOOK_EACH_MS = 5;
/** The share of a difference that the time of a call follows: some calls that hang, or wait for a lock, must not count. */
const RISE = 0.02;
const FALL = 0.2;
const NO_DEADLINE_MS = 10_000;
