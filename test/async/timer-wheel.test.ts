import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { type Expiring, TimerWheel } from '#src/async/timer-wheel.ts';

/** How late a deadline may fire, in milliseconds: one tick, and one to the interval's next turn. */
const LATE_MAX_MS = 20;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('TimerWheel', () => {
  it('fires each deadline once, never early, and soon after its time', () => {
    const entry = fc.record({ atMs: fc.nat(300), timeoutMs: fc.integer({ min: 1, max: 500 }) });
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 20 }), plan => {
        const wheel = new TimerWheel();
        const begun = performance.now();
        const added = plan
          .toSorted((a, b) => a.atMs - b.atMs)
          .map(({ atMs, timeoutMs }) => {
            advanceTo(begun + atMs);
            const timed = new Timed();
            wheel.add(timed, timeoutMs, performance.now());
            return { timed, dueAt: performance.now() + timeoutMs };
          });
        advanceTo(begun + 1000);
        for (const { timed, dueAt } of added) {
          expect(timed.firedAt).toHaveLength(1);
          expect(timed.firedAt[0]).toBeGreaterThanOrEqual(dueAt);
          expect(timed.firedAt[0]).toBeLessThanOrEqual(dueAt + LATE_MAX_MS);
        }
      }),
    );
  });

  it('fires none that was removed, and all others', () => {
    const wheel = new TimerWheel();
    const [kept, removed] = [new Timed(), new Timed()];
    for (const timed of [kept, removed]) wheel.add(timed, 50, performance.now());
    wheel.remove(removed);
    wheel.remove(removed);
    vi.advanceTimersByTime(200);
    expect([kept.firedAt.length, removed.firedAt.length]).toEqual([1, 0]);
  });

  it('takes one again that has fired, or was removed', () => {
    const wheel = new TimerWheel();
    const timed = new Timed();
    wheel.add(timed, 30, performance.now());
    vi.advanceTimersByTime(100);
    wheel.add(timed, 30, performance.now());
    wheel.remove(timed);
    wheel.add(timed, 60, performance.now());
    vi.advanceTimersByTime(200);
    expect(timed.firedAt).toHaveLength(2);
  });

  it('can be added to, and removed from, by a deadline that fires', () => {
    const wheel = new TimerWheel();
    const [other, next] = [new Timed(), new Timed()];
    const first = new Timed(() => {
      wheel.remove(other);
      wheel.add(next, 30, performance.now());
    });
    wheel.add(first, 20, performance.now());
    wheel.add(other, 20, performance.now());
    vi.advanceTimersByTime(200);
    expect([first, other, next].map(({ firedAt }) => firedAt.length)).toEqual([1, 0, 1]);
  });

  it('fires all that are due after a pause of the process', () => {
    const wheel = new TimerWheel();
    const all = [10, 25, 400].map(timeoutMs => {
      const timed = new Timed();
      wheel.add(timed, timeoutMs, performance.now());
      return timed;
    });
    // A turn of the event loop that took half a second: the interval fires once for all that it has missed.
    const now = performance.now() + 500;
    vi.spyOn(performance, 'now').mockReturnValue(now);
    vi.advanceTimersToNextTimer();
    expect(all.map(({ firedAt }) => firedAt.length)).toEqual([1, 1, 1]);
  });

  it('has no timer while it has no deadline', () => {
    const wheel = new TimerWheel();
    const timed = new Timed();
    expect(vi.getTimerCount()).toBe(0);
    wheel.add(timed, 15, performance.now());
    expect(vi.getTimerCount()).toBe(1);
    vi.advanceTimersByTime(100);
    expect(vi.getTimerCount()).toBe(0);
  });
});

class Timed implements Expiring {
  wheelTick = -1;
  readonly firedAt: number[] = [];
  readonly #fired: () => void;

  constructor(fired: () => void = () => {}) {
    this.#fired = fired;
  }

  expire(): void {
    this.firedAt.push(performance.now());
    this.#fired();
  }
}

function advanceTo(time: number): void {
  vi.advanceTimersByTime(Math.max(0, time - performance.now()));
}
