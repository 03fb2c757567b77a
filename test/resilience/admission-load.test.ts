import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type VirtualCall, VirtualLoad } from '#test/support/virtual-load.ts';

/** A number from 0 to 1, the same ones for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

const SEED = fc.integer({ min: 0, max: 2 ** 31 });

describe('Callers who each wait for their answers', () => {
  it('are all served, however many there are, where their deadlines allow', async () => {
    const load = fc.record({
      callers: fc.integer({ min: 1, max: 600 }),
      connections: fc.integer({ min: 1, max: 16 }),
      serviceMs: fc.double({ min: 1, max: 20, noNaN: true }),
      thinkMs: fc.double({ min: 0, max: 10, noNaN: true }),
      seed: SEED,
    });
    await fc.assert(
      fc.asyncProperty(load, async ({ callers, connections, serviceMs, thinkMs, seed }) => {
        const random = randomOf(seed);
        // Twice what the last of them waits for.
        const deadlineMs = 200 + 2 * serviceMs * (callers / connections + 1);
        const virtual = new VirtualLoad({ connections, deadlineMs, serviceMs: () => serviceMs * (0.5 + random()) });
        const untilMs = Math.min(3000, (2000 * serviceMs) / connections);
        virtual.closed({ callers, fromMs: 0, untilMs, thinkMs, random });
        await virtual.run();
        expect(count(virtual.calls, 'ok')).toBe(virtual.calls.length);
      }),
      { numRuns: 25 },
    );
  });

  it('are all served soon after an overload has ended, even if they come back at once when they are refused', async () => {
    const random = randomOf(1);
    const virtual = new VirtualLoad({ connections: 10, deadlineMs: 1000, serviceMs: () => 5 + 10 * random() });
    virtual.open({ perSecond: 3000, fromMs: 0, untilMs: 2000, random });
    virtual.closed({ callers: 128, fromMs: 1000, untilMs: 8000, thinkMs: 2, random });
    await virtual.run();
    expect(
      count(
        virtual.calls.filter(({ at }) => at < 2000),
        'refused',
      ),
    ).toBeGreaterThan(1000);
    const later = virtual.calls.filter(({ at }) => at > 5000);
    expect(count(later, 'ok')).toBe(later.length);
    expect(later.length).toBeGreaterThan(2000);
  });

  it('get answers as long as there is time for one, where there are too many for their deadlines', async () => {
    const random = randomOf(1);
    const virtual = new VirtualLoad({ connections: 10, deadlineMs: 500, serviceMs: () => 20 + 40 * random() });
    virtual.closed({ callers: 256, fromMs: 0, untilMs: 8000, thinkMs: 2, random });
    await virtual.run();
    // 250 a second can be served.
    expect(count(virtual.calls, 'ok')).toBeGreaterThan(250 * 8 * 0.9);
    expect(count(virtual.calls, 'late')).toBeLessThan(virtual.calls.length * 0.02);
  });
});

describe('More calls than can be served', () => {
  it('have as many answers as can be given, in time, and the others are refused', async () => {
    const load = fc.record({
      times: fc.double({ min: 1.2, max: 5, noNaN: true }),
      connections: fc.integer({ min: 2, max: 6 }),
      serviceMs: fc.double({ min: 8, max: 20, noNaN: true }),
      seed: SEED,
    });
    await fc.assert(
      fc.asyncProperty(load, async ({ times, connections, serviceMs, seed }) => {
        const random = randomOf(seed);
        const perSecond = (1000 * connections) / serviceMs;
        const virtual = new VirtualLoad({
          connections,
          deadlineMs: 1000,
          serviceMs: () => serviceMs * (0.8 + 0.4 * random()),
        });
        virtual.open({ perSecond: perSecond * times, fromMs: 0, untilMs: 3000, random });
        await virtual.run();
        expect(count(virtual.calls, 'ok')).toBeGreaterThan(perSecond * 3 * 0.95);
        expect(count(virtual.calls, 'late')).toBe(0);
        expect(tookAt(virtual.calls, 0.98)).toBeLessThan(130);
      }),
      { numRuns: 8 },
    );
  });

  it('are refused by so little as is too much, where it is only some percent', async () => {
    const random = randomOf(1);
    const virtual = new VirtualLoad({ connections: 4, deadlineMs: 1000, serviceMs: () => 9 + 6 * random() });
    virtual.open({ perSecond: 333 * 1.06, fromMs: 0, untilMs: 8000, random });
    await virtual.run();
    expect(count(virtual.calls, 'refused') / virtual.calls.length).toBeLessThan(0.08);
    expect(tookAt(virtual.calls, 0.99)).toBeLessThan(110);
  });

  it('are refused for their rank alone, while refusing the least critical is enough', async () => {
    const random = randomOf(1);
    const virtual = new VirtualLoad({ connections: 10, deadlineMs: 1000, serviceMs: () => 5 + 10 * random() });
    const during = { fromMs: 0, untilMs: 4000, random };
    // A thousand a second can be served.
    virtual.open({ ...during, perSecond: 200, criticality: 'critical-plus' });
    virtual.open({ ...during, perSecond: 600, criticality: 'critical' });
    virtual.open({ ...during, perSecond: 1000, criticality: 'sheddable-plus' });
    virtual.open({ ...during, perSecond: 1000, criticality: 'sheddable' });
    await virtual.run();
    const served = (criticality: string) => {
      const calls = virtual.calls.filter(call => call.criticality === criticality);
      return count(calls, 'ok') / calls.length;
    };
    expect(served('critical-plus')).toBe(1);
    expect(served('critical')).toBe(1);
    expect(served('sheddable-plus')).toBeGreaterThan(0.15);
    expect(served('sheddable')).toBeLessThan(0.1);
  });
});

describe('A database that stops for a moment', () => {
  it('makes nobody fail whose deadline is long enough, while callers wait for their answers', async () => {
    const random = randomOf(1);
    let calls = 0;
    const serviceMs = () => (calls++ % 500 < 10 ? 400 : 5 + 5 * random());
    const virtual = new VirtualLoad({ connections: 10, deadlineMs: 2000, serviceMs });
    virtual.closed({ callers: 128, fromMs: 0, untilMs: 5000, thinkMs: 2, random });
    await virtual.run();
    expect(count(virtual.calls, 'ok')).toBe(virtual.calls.length);
  });
});

function count(calls: readonly VirtualCall[], outcome: VirtualCall['outcome']): number {
  return calls.filter(call => call.outcome === outcome).length;
}

/** What the given share of those that were served took at most. */
function tookAt(calls: readonly VirtualCall[], share: number): number {
  const took = calls.filter(({ outcome }) => outcome === 'ok').map(({ tookMs }) => tookMs);
  return took.sort((a, b) => a - b)[Math.floor((took.length - 1) * share)] ?? Number.NaN;
}
