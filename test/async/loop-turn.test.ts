import { describe, expect, it } from 'vitest';
import { LoopTurn } from '#src/async/loop-turn.ts';

describe('LoopTurn', () => {
  it('lets steps be done at once while their turn has time', () => {
    const turn = new LoopTurn({ limitMs: 1000 });
    expect([turn.rest(), turn.rest(), turn.rest()]).toEqual([undefined, undefined, undefined]);
  });

  it('gives the event loop to others after each turn, however many have steps to do', async () => {
    const turn = new LoopTurn({ limitMs: 1, stepsMax: 4 });
    let steps = 0;
    const worker = async () => {
      for (let n = 0; n < 10; n++) {
        await turn.rest();
        const until = performance.now() + 0.5;
        while (performance.now() < until);
        steps++;
      }
    };
    const working = Promise.all(Array.from({ length: 10 }, worker));
    const seen: number[] = [];
    while (steps < 100) {
      await new Promise(resolve => setImmediate(resolve));
      seen.push(steps);
    }
    await working;
    // A turn has at most four; without turns all hundred come before anything else.
    expect(seen.length).toBeGreaterThan(20);
  });

  it('comes to an end for each of those who wait', async () => {
    const turn = new LoopTurn({ stepsMax: 1 });
    await Promise.all(Array.from({ length: 50 }, async () => turn.rest()));
  });
});
