import { Admission } from '#src/resilience/admission.ts';
import type { Criticality } from '#src/resilience/criticality.ts';
import { OverloadedError } from '#src/resilience/overloaded-error.ts';

/** What became of a call, in milliseconds of the virtual clock. */
export interface VirtualCall {
  readonly criticality: Criticality;
  readonly at: number;
  readonly outcome: 'ok' | 'refused' | 'late';
  readonly tookMs: number;
}

export interface VirtualLoadOptions {
  /** How many calls the dependency takes at once. */
  readonly connections: number;
  readonly serviceMs: () => number;
  readonly deadlineMs: number;
}

/**
 * Calls through an admission to a dependency, by a virtual clock: all that happens, happens in its order, and a minute takes no longer
 * than its calls.
 */
export class VirtualLoad {
  readonly calls: VirtualCall[] = [];
  readonly #options: VirtualLoadOptions;
  readonly #admission: Admission;
  readonly #events: { readonly at: number; readonly happen: () => void }[] = [];
  #now = 0;

  constructor(options: VirtualLoadOptions) {
    this.#options = options;
    this.#admission = new Admission({ limit: options.connections, queueMax: 10_000, now: () => this.#now });
  }

  /** Calls that come at times of their own. @param random from 0 to 1: each comes up to a whole interval later than regularly. */
  open(load: {
    readonly perSecond: number;
    readonly fromMs: number;
    readonly untilMs: number;
    readonly random: () => number;
    readonly criticality?: Criticality;
  }): void {
    const eachMs = 1000 / load.perSecond;
    for (let at = load.fromMs; at < load.untilMs; at += eachMs)
      this.#at(at + load.random() * eachMs, () => void this.#call(load.criticality));
  }

  /** Callers who each wait for an answer before the next call, which they make after up to twice `thinkMs`, whatever the answer is. */
  closed(load: {
    readonly callers: number;
    readonly fromMs: number;
    readonly untilMs: number;
    readonly thinkMs: number;
    readonly random: () => number;
  }): void {
    const next = async () => {
      if (this.#now >= load.untilMs) return;
      await this.#call();
      this.#at(this.#now + 2 * load.thinkMs * load.random(), () => void next());
    };
    for (let n = 0; n < load.callers; n++) this.#at(load.fromMs + load.random(), () => void next());
  }

  /** Lets everything happen. */
  async run(): Promise<void> {
    for (;;) {
      const event = this.#events.shift();
      if (event === undefined) return;
      this.#now = event.at;
      event.happen();
      // What promises lead to has happened then.
      await new Promise(setImmediate);
    }
  }

  async #call(criticality: Criticality = 'critical'): Promise<void> {
    const at = this.#now;
    const deadline = at + this.#options.deadlineMs;
    const caller = new AbortController();
    const isDone = Promise.withResolvers<void>();
    let outcome: VirtualCall['outcome'] = 'ok';
    this.#at(deadline, () => caller.abort(new Error('the deadline')));
    this.#admission
      .run(
        () => this.#serve(),
        { signal: caller.signal, deadline: () => deadline, criticality },
        () => true,
      )
      .catch(error => {
        outcome = error instanceof OverloadedError ? 'refused' : 'late';
      })
      .finally(isDone.resolve);
    caller.signal.addEventListener('abort', () => isDone.resolve());
    await isDone.promise;
    if (this.#now >= deadline) outcome = 'late';
    this.calls.push({ criticality, at, outcome, tookMs: this.#now - at });
  }

  #serve(): Promise<void> {
    return new Promise(resolve => this.#at(this.#now + this.#options.serviceMs(), resolve));
  }

  #at(at: number, happen: () => void): void {
    let [from, to] = [0, this.#events.length];
    while (from < to) {
      const middle = (from + to) >> 1;
      if ((this.#events[middle]?.at ?? 0) <= at) from = middle + 1;
      else to = middle;
    }
    this.#events.splice(from, 0, { at, happen });
  }
}
