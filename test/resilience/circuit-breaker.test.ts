import { BrokenCircuitError } from 'cockatiel';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { CircuitBreaker, type CircuitBreakerState } from '#src/resilience/circuit-breaker.ts';

afterEach(() => {
  vi.useRealTimers();
});

class Failure extends Error {}

describe('A circuit breaker', () => {
  it('opens when half of the calls of its window fail, and then does no work', async () => {
    const { breaker, good, bad, clock } = aBreaker();
    for (let n = 0; n < 5; n++) await good();
    clock.now += 100;
    for (let n = 0; n < 4; n++) await bad();
    expect(breaker.state).toBe('closed');
    await bad();
    expect(breaker.state).toBe('open');
    const work = vi.fn(async () => 1);
    await expect(breaker.execute(work)).rejects.toBeInstanceOf(BrokenCircuitError);
    expect(work).not.toHaveBeenCalled();
  });

  it('does not count what is older than its window', async () => {
    const { breaker, good, bad, clock } = aBreaker();
    for (let n = 0; n < 4; n++) await bad();
    clock.now += 1100;
    for (let n = 0; n < 8; n++) await good();
    await bad();
    expect(breaker.state).toBe('closed');
  });

  it('opens after ten failures in a row, however rare they are', async () => {
    const { breaker, bad, clock } = aBreaker();
    for (let n = 0; n < 9; n++) {
      await bad();
      clock.now += 5000;
    }
    expect(breaker.state).toBe('closed');
    await bad();
    expect(breaker.state).toBe('open');
  });

  it('does not count what is no failure of the dependency', async () => {
    const { breaker } = aBreaker();
    for (let n = 0; n < 100; n++) {
      await expect(breaker.execute(() => Promise.reject(new Error('not found')))).rejects.toThrow('not found');
    }
    expect(breaker.state).toBe('closed');
  });

  it('opens when most of the calls are slow, though they go well', async () => {
    const { breaker, slow, good, states } = aBreaker();
    for (let n = 0; n < 2; n++) await good();
    for (let n = 0; n < 7; n++) await slow();
    expect(breaker.state).toBe('closed');
    await slow();
    expect(states).toEqual(['open']);
  });

  it('opens for calls that hang, before any of them has ended', async () => {
    const { breaker, clock } = aBreaker();
    const hung = Promise.withResolvers<string>();
    const calls = Array.from({ length: 10 }, () => breaker.execute(() => hung.promise));
    clock.now += 100;
    breaker.noteSlow();
    await expect.poll(() => breaker.state).toBe('open');
    hung.resolve('at last');
    expect(await Promise.all(calls)).toEqual(Array(10).fill('at last'));
  });

  it('does not take a wait for a lock for slowness', async () => {
    const { breaker, clock } = aBreaker();
    for (let n = 0; n < 20; n++) {
      await breaker.execute(
        async () => {
          clock.now += 5000;
        },
        { mayBeSlow: true },
      );
    }
    expect(breaker.state).toBe('closed');
  });

  it('does not take it for a sign of health either, while other calls are slow', async () => {
    const { breaker, clock } = aBreaker();
    const late = Promise.withResolvers<void>();
    const calls = Array.from({ length: 30 }, (_, n) => breaker.execute(() => late.promise, { mayBeSlow: n % 3 > 0 }));
    clock.now += 100;
    late.resolve();
    await Promise.all(calls);
    expect(breaker.state).toBe('open');
  });

  it('learns nothing from a call that its caller gives up', async () => {
    const { breaker, givenUp } = aBreaker();
    for (let n = 0; n < 100; n++) await givenUp();
    expect(breaker.state).toBe('closed');
  });

  it('stays open where the one call that it lets through is given up', async () => {
    const { breaker, open, givenUp, clock, states } = aBreaker();
    await open();
    clock.now += 5000;
    await givenUp();
    expect(states).toEqual(['open', 'half-open', 'open']);
    await expect(breaker.execute(async () => 1)).rejects.toBeInstanceOf(BrokenCircuitError);
  });

  it('lets one call through after a while, and fails the others at once', async () => {
    const { breaker, open, clock, states } = aBreaker();
    await open();
    clock.now += 5000;
    const probe = Promise.withResolvers<string>();
    const probing = breaker.execute(() => probe.promise);
    expect(breaker.state).toBe('half-open');
    await expect(breaker.execute(async () => 1)).rejects.toBeInstanceOf(BrokenCircuitError);
    probe.resolve('well');
    expect(await probing).toBe('well');
    expect(states).toEqual(['open', 'half-open', 'closed']);
  });

  it('stays open for as long again where that call fails', async () => {
    const { breaker, open, bad, clock, states } = aBreaker();
    await open();
    clock.now += 5000;
    await bad();
    clock.now += 4999;
    await expect(breaker.execute(async () => 1)).rejects.toBeInstanceOf(BrokenCircuitError);
    clock.now += 1;
    expect(await breaker.execute(async () => 1)).toBe(1);
    expect(states).toEqual(['open', 'half-open', 'open', 'half-open', 'closed']);
  });

  it('tries with its own probe where it has one, and fails all callers at once until that goes well', async () => {
    const probes: PromiseWithResolvers<void>[] = [];
    const probe = () => {
      const next = Promise.withResolvers<void>();
      probes.push(next);
      return next.promise;
    };
    const { breaker, open, clock, states } = aBreaker({ probe });
    await open();
    const work = vi.fn(async () => 1);
    const refused = () => expect(breaker.execute(work)).rejects.toBeInstanceOf(BrokenCircuitError);
    await refused();
    expect(probes).toHaveLength(0);
    clock.now += 5000;
    await refused();
    await refused();
    expect(probes).toHaveLength(1);
    probes[0]?.reject(new Failure());
    await expect.poll(() => breaker.state).toBe('open');
    clock.now += 5000;
    await refused();
    // One that hangs is a failure too.
    clock.now += 100;
    await refused();
    await expect.poll(() => breaker.state).toBe('open');
    clock.now += 5000;
    await refused();
    probes[2]?.resolve();
    await expect.poll(() => breaker.state).toBe('closed');
    expect(work).not.toHaveBeenCalled();
    expect(await breaker.execute(work)).toBe(1);
    expect(states).toEqual(['open', 'half-open', 'open', 'half-open', 'open', 'half-open', 'closed']);
  });

  it.each([-3_600_000, 3_600_000])('is not moved by a jump of the wall clock by %i ms (R17)', async jump => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { breaker, open, clock } = aBreaker();
    await open();
    vi.setSystemTime(Date.now() + jump);
    await expect(breaker.execute(async () => 1)).rejects.toBeInstanceOf(BrokenCircuitError);
    clock.now += 5000;
    expect(await breaker.execute(async () => 1)).toBe(1);
  });
});

function aBreaker({ probe }: { probe?: () => Promise<void> } = {}) {
  const clock = { now: 12_345 };
  const states: CircuitBreakerState[] = [];
  const breaker = new CircuitBreaker({
    ...{ failureRate: 0.5, windowMs: 1000, minCalls: 10, consecutiveFailures: 10, openMs: 5000 },
    ...{ slowMs: 100, slowRate: 0.8 },
    isFailure: error => error instanceof Failure,
    ...(probe && { probe }),
    now: () => clock.now,
    onStateChange: state => states.push(state),
  });
  const good = () => breaker.execute(async () => 'well');
  const bad = () => expect(breaker.execute(() => Promise.reject(new Failure()))).rejects.toBeInstanceOf(Failure);
  const open = async () => {
    for (let n = 0; n < 10; n++) await bad();
    expect(breaker.state).toBe('open');
  };
  const slow = () =>
    breaker.execute(async () => {
      clock.now += 100;
    });
  const givenUp = () =>
    expect(
      breaker.execute(() => Promise.reject(new Failure()), { signal: AbortSignal.abort() }),
    ).rejects.toBeInstanceOf(Failure);
  return { breaker, clock, states, good, bad, slow, givenUp, open };
}
