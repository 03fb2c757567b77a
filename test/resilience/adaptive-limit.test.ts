import { describe, expect, it } from 'vitest';
import { AdaptiveLimit } from '#src/resilience/adaptive-limit.ts';

describe('An adaptive limit', () => {
  it('grows while calls take no longer, up to its maximum', () => {
    const dependency = aDependency({ capacity: 1000 });
    dependency.use(200);
    expect(dependency.limit.limit).toBe(200);
  });

  it('settles near what the dependency does at once, where more of them queue up there', () => {
    const dependency = aDependency({ capacity: 40 });
    dependency.use(2000);
    // Times may double before that is a queue.
    expect(dependency.limit.limit).toBeGreaterThan(30);
    expect(dependency.limit.limit).toBeLessThan(120);
  });

  it('falls to its minimum where the dependency becomes a hundred times slower, and recovers', () => {
    const dependency = aDependency({ capacity: 1000 });
    dependency.use(200);
    dependency.serviceMs = 500;
    dependency.use(40);
    expect(dependency.limit.limit).toBeLessThan(40);
    dependency.serviceMs = 5;
    dependency.use(300);
    expect(dependency.limit.limit).toBeGreaterThan(150);
  });

  it('does not grow where it is not used', () => {
    const clock = { now: 0 };
    const limit = new AdaptiveLimit({ initial: 20, min: 5, max: 200, now: () => clock.now });
    for (let n = 0; n < 10_000; n++) {
      clock.now += 10;
      limit.ended(1, 2);
    }
    expect(limit.limit).toBe(20);
  });

  it('is not moved by a few slow calls', () => {
    const clock = { now: 0 };
    const limit = new AdaptiveLimit({ initial: 20, min: 5, max: 20, now: () => clock.now });
    for (let n = 0; n < 10_000; n++) {
      clock.now += 1;
      limit.ended(n % 100 === 0 ? 20 : 1, 20);
    }
    expect(limit.limit).toBe(20);
  });
});

/** A dependency that does `capacity` calls at once, each in 5 ms, and keeps the others waiting; and callers that always want more. */
function aDependency({ capacity }: { capacity: number }) {
  const clock = { now: 0 };
  const limit = new AdaptiveLimit({ initial: 20, min: 5, max: 200, now: () => clock.now });
  return {
    limit,
    serviceMs: 5,
    use(windows: number) {
      for (let window = 0; window < windows; window++) {
        const inFlight = limit.limit;
        const durationMs = this.serviceMs * Math.max(1, inFlight / capacity);
        clock.now += 100;
        for (let call = 0; call < 20; call++) limit.ended(durationMs, inFlight);
      }
    },
  };
}
