import { addAbortListener } from 'node:events';
import { CRITICALITIES, type Criticality, DEFAULT_CRITICALITY } from '#src/resilience/criticality.ts';
import { OverloadedError } from '#src/resilience/overloaded-error.ts';
import { QueueGrowth } from '#src/resilience/queue-growth.ts';
import { type LinePlace, WaitingLine } from '#src/resilience/waiting-line.ts';

/**
 * A queue with deadlines, criticality and an adaptive wait, in front of a dependency. No library offers that: cockatiel's bulkhead has a
 * fixed limit and a plain queue, which an aborted call does not leave.
 *
 * The most critical calls begin first, and among equals the oldest. A call may wait as long as its deadline allows. Under overload the newest
 * begin first, and calls that have waited for most of a tenth of their time are refused, the least critical sooner. Overload means that the
 * queue keeps growing (QueueGrowth). After a moment it checks whether the queue still grows when nothing is refused: callers that return at
 * once, because they were refused, must not keep an overload alive. It also refuses a call whose turn comes too late for an answer.
 */
export class Admission {
  readonly #options: AdmissionOptions;
  /** One line per criticality, in the order of CRITICALITIES. */
  readonly #lines = CRITICALITIES.map(() => new WaitingLine<Waiter>());
  readonly #growth: QueueGrowth;
  #inFlight = 0;
  #queued = 0;
  /** How long most calls take at least, once they have begun, in milliseconds. */
  #tookMs = 0;
  #lookAt = 0;
  /** A queued call has waited as long as calls may under overload. */
  #isLate = false;
  /** Calls are refused until then; undefined: there is no overload. */
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
   * Does the work when its turn comes.
   *
   * @param isAnswer whether an error is an answer of the dependency, so that its duration counts.
   * @throws OverloadedError if it is refused; the signal's reason, if that aborts before the work begins.
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

  /** Begins all queued calls, whatever the limit. The open circuit breaker behind it then fails each at once. */
  beginAll(): void {
    for (let first = this.#first(); first !== undefined; first = this.#first()) this.#begin(first);
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
        listening?.[Symbol.dispose]();
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
      const listening = signal && addAbortListener(signal, abort);
      line.add(waiter);
      this.#queued++;
      this.#growth.observe(this.#queued, since);
      this.#look();
    });
  }

  /** Begins as many queued calls as there is room for. */
  #next(): void {
    const { limit, now } = this.#options;
    this.#look();
    while (this.#inFlight < limit && this.#queued > 0) {
      const waiter = this.#first();
      if (waiter === undefined) return;
      // Its caller would be gone before the answer, and another call would lose the turn.
      if (waiter.deadline() - now() < MARGIN * this.#tookMs) waiter.refuse(TOO_LATE);
      else this.#begin(waiter);
    }
  }

  #begin(waiter: Waiter): void {
    this.#inFlight++;
    waiter.begin();
  }

  #first(): Waiter | undefined {
    // Under overload the oldest call has waited in vain, and so would the next oldest.
    const newestFirst = this.#shedsUntil !== undefined || (this.#isLate && this.#growth.isGrowing);
    for (const line of this.#lines) if (line.oldest !== undefined) return newestFirst ? line.newest : line.oldest;
    return undefined;
  }

  /** Checks for overload, and then refuses calls that have waited for too long. */
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

  /** Calls that have waited as long as they may under overload, the least critical first. */
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

  /** Refuses the newest call of the least critical rank below this one. @returns whether there was one. */
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
  /** The most queued calls. */
  readonly queueMax: number;
  /** A monotonic clock in milliseconds; deadlines are of the same clock. */
  readonly now: () => number;
  readonly onRefused?: (criticality: Criticality) => void;
}

/** The part of a call that the admission reads. It reads the deadline only of a call that must wait. */
export interface AdmittedCall {
  readonly signal?: AbortSignal | undefined;
  /** When the last caller stops waiting, read repeatedly because callers may join. Undefined: 10 s after it began to wait. */
  readonly deadline?: (() => number | undefined) | undefined;
  readonly criticality?: Criticality | undefined;
}

/** Numbers of calls. */
export interface AdmissionState {
  readonly limit: number;
  readonly inFlight: number;
  readonly queued: number;
}

interface Waiter extends LinePlace {
  readonly since: number;
  readonly deadline: () => number;
  /** Under overload it may wait for this share of a critical call's time. */
  readonly patience: number;
  readonly begin: () => void;
  readonly refuse: (why: string) => void;
}

const CROWDED = 'too many calls wait';
const TOO_LATE = 'the turn came too late for an answer in time';
const TOO_LONG = 'it took too long until its turn';

/** Under overload a call is answered within this share of its time, or refused. */
const SHARE = 0.1;
/** Durations vary, so the time left must be this many times the usual duration. */
const MARGIN = 2;
/** The wait that keeps all connections busy, in durations of a call. Calls may always wait for it, even with short deadlines. */
const SHORT_QUEUE = 1.7;
/** Under overload, sheddable calls are refused almost at once. */
const PATIENCE: Readonly<Record<Criticality, number>> = {
  'critical-plus': 1,
  critical: 1,
  'sheddable-plus': 0.25,
  sheddable: 0.1,
};
/** Short at first: the growth may only be callers that arrive one after the other. */
const SHED_FIRST_MS = 250;
const SHED_MOST_MS = 2000;
/** Often enough for queued calls, and cheap enough with a thousand of them. */
const LOOK_EACH_MS = 5;
/** How far the usual duration follows each call. It rises slowly, because a few hanging calls must not count. */
const RISE = 0.02;
const FALL = 0.2;
const NO_DEADLINE_MS = 10_000;
