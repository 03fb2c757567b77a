import { BrokenCircuitError } from 'cockatiel';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { CircuitBreaker } from '#src/resilience/circuit-breaker.ts';

const OPTIONS = {
  ...{ failureRate: 0.5, slowRate: 0.75, slowMs: 50, windowMs: 1000, minCalls: 4, consecutiveFailures: 3, openMs: 300 },
};
const SLICE_MS = OPTIONS.windowMs / 10;

type Outcome = 'success' | 'failure' | 'slow' | 'unknown' | 'business';
/** Begins a call and ends it at once, or lets the time pass, or begins one that ends only when `end` comes to it. */
type Step = { pass: number } | { call: Outcome } | { begin: Outcome } | { end: number };

/** What a breaker is to do, written down without regard to cost. */
class Model {
  now = 0;
  state: 'closed' | 'open' | 'half-open' = 'closed';
  #openUntil = 0;
  #events: { slice: number; kind: 'success' | 'failure' | 'slow' }[] = [];
  #consecutive = 0;
  #tries = 0;

  /** How a call is let in; undefined: not at all. */
  admit(): { era: 'closed' | number } | undefined {
    if (this.state === 'half-open') return undefined;
    if (this.state === 'closed') return { era: 'closed' };
    if (this.now < this.#openUntil) return undefined;
    this.state = 'half-open';
    return { era: ++this.#tries };
  }

  ended({ era }: { era: 'closed' | number }, outcome: Outcome): void {
    const isWell = outcome === 'business' || (outcome === 'slow' && era !== 'closed');
    const kind = isWell ? 'success' : outcome;
    if (era !== 'closed') {
      if (this.state !== 'half-open' || era !== this.#tries) return;
      if (kind === 'success') {
        this.state = 'closed';
        this.#events = [];
      }
      this.#count(kind);
      if (kind !== 'success') this.#open();
      return;
    }
    this.#count(kind);
    if (kind === 'success' || kind === 'unknown' || this.state === 'open') return;
    const recent = this.#events.filter(({ slice }) => slice > this.#slice() - 10);
    const share = (wanted: string) => recent.filter(event => event.kind === wanted).length / recent.length;
    const isBad =
      recent.length >= OPTIONS.minCalls &&
      (share('failure') >= OPTIONS.failureRate || share('failure') + share('slow') >= OPTIONS.slowRate);
    if (this.#consecutive >= OPTIONS.consecutiveFailures || isBad) this.#open();
  }

  #count(kind: 'success' | 'failure' | 'slow' | 'unknown'): void {
    if (kind === 'unknown') return;
    this.#events.push({ slice: this.#slice(), kind });
    this.#consecutive = kind === 'failure' ? this.#consecutive + 1 : 0;
  }

  #open(): void {
    this.state = 'open';
    this.#openUntil = this.now + OPTIONS.openMs;
  }

  #slice(): number {
    return Math.floor(this.now / SLICE_MS);
  }
}

class Failure extends Error {}

const outcome = fc.constantFrom<Outcome>('success', 'failure', 'failure', 'slow', 'unknown', 'business');
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ pass: fc.integer({ min: 1, max: 400 }) }) },
  { weight: 5, arbitrary: fc.record({ call: outcome }) },
  { weight: 2, arbitrary: fc.record({ begin: outcome }) },
  { weight: 2, arbitrary: fc.record({ end: fc.nat(3) }) },
);

it('does what the model does, whatever comes in which order', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async steps => {
      const model = new Model();
      const breaker = new CircuitBreaker({
        ...OPTIONS,
        isFailure: error => error instanceof Failure,
        now: () => model.now,
      });
      const running: { end: () => Promise<void> }[] = [];

      /** Begins a call of both, and gives how to end it. */
      const begin = async (kind: Outcome) => {
        const admitted = model.admit();
        const work = Promise.withResolvers<string>();
        const caller = new AbortController();
        const startedAt = model.now;
        const result = breaker.execute(() => work.promise, { signal: caller.signal, mayBeSlow: kind !== 'slow' });
        result.catch(() => {});
        if (admitted === undefined) {
          await expect(result).rejects.toBeInstanceOf(BrokenCircuitError);
          return undefined;
        }
        return {
          end: async () => {
            if (kind === 'slow') model.now += OPTIONS.slowMs;
            if (kind === 'unknown') caller.abort();
            if (kind === 'success' || kind === 'slow') work.resolve('well');
            else work.reject(kind === 'business' ? new Error('not found') : new Failure());
            await result.catch(() => {});
            // What may be slow, and was, says nothing.
            const isWell = kind === 'success' || kind === 'business';
            const isUnknown = isWell && admitted.era === 'closed' && model.now - startedAt >= OPTIONS.slowMs;
            model.ended(admitted, isUnknown ? 'unknown' : kind);
          },
        };
      };

      for (const next of steps) {
        if ('pass' in next) model.now += next.pass;
        else if ('call' in next) await (await begin(next.call))?.end();
        else if ('begin' in next) {
          // Calls that hang are told of in a test of their own: here, what is under way is never slow.
          const call = await begin(next.begin === 'slow' ? 'success' : next.begin);
          if (call !== undefined) running.push(call);
        } else await running.splice(next.end, 1)[0]?.end();
        expect(breaker.state).toBe(model.state);
      }
    }),
    { numRuns: 10_000 },
  );
});
