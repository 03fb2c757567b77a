import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { QueueGrowth } from '#src/resilience/queue-growth.ts';

describe('The growth of a queue', () => {
  it.each([
    ['by a call each 3 ms', 3, 500],
    ['by a call each 50 ms', 50, 1000],
  ])('lasts where the queue becomes longer %s', (_, eachMs, withinMs) => {
    const queue = aQueue();
    while (queue.now <= withinMs) queue.step(eachMs, 1);
    expect(queue.growth.isLasting).toBe(true);
  });

  it('shows before it is known to last', () => {
    const queue = aQueue();
    while (queue.now <= 100) queue.step(3, 1);
    expect([queue.growth.isGrowing, queue.growth.isLasting]).toEqual([true, false]);
  });

  it('does not last where a thousand come at once, and come again as they are served', () => {
    const queue = aQueue();
    for (let n = 0; n < 1000; n++) queue.step(0.05, 1);
    for (let n = 0; n < 1000; n++) {
      queue.step(2, -1);
      expect(queue.growth.isLasting).toBe(false);
      queue.step(1, 1);
    }
    expect(queue.growth.isGrowing).toBe(false);
  });

  it('ends with the first window in which the queue is no longer than before', () => {
    const queue = aQueue();
    while (!queue.growth.isLasting) queue.step(3, 1);
    for (let n = 0; n < 40; n++) {
      queue.step(1, -1);
      queue.step(1, 1);
    }
    expect(queue.growth.isLasting).toBe(false);
  });

  it('ends where the queue is empty', () => {
    const queue = aQueue();
    while (!queue.growth.isLasting) queue.step(3, 1);
    queue.step(1, -queue.length);
    expect([queue.growth.isGrowing, queue.growth.isLasting]).toEqual([false, false]);
  });

  it('ends while nobody comes and nobody begins', () => {
    const queue = aQueue();
    while (!queue.growth.isLasting) queue.step(3, 1);
    queue.step(2000, 1);
    expect([queue.growth.isGrowing, queue.growth.isLasting]).toEqual([false, false]);
  });

  it('never lasts in a queue that was as long before, however it changes', () => {
    const change = fc.record({ ms: fc.integer({ min: 0, max: 100 }), to: fc.integer({ min: 1, max: 500 }) });
    fc.assert(
      fc.property(fc.array(change, { maxLength: 300 }), changes => {
        const queue = aQueue();
        queue.step(1, 500);
        for (const { ms, to } of changes) {
          queue.step(ms, to - queue.length);
          expect(queue.growth.isLasting).toBe(false);
        }
      }),
    );
  });
});

function aQueue() {
  const growth = new QueueGrowth(0);
  return {
    growth,
    now: 0,
    length: 0,
    step(ms: number, change: number) {
      this.now += ms;
      this.length += change;
      growth.observe(this.length, this.now);
    },
  };
}
