import { describe, expect, it } from 'vitest';
import { ByteBudget } from '#src/resilience/byte-budget.ts';
import type { Criticality } from '#src/resilience/criticality.ts';
import { OverloadedError } from '#src/resilience/overloaded-error.ts';

describe('A budget of bytes', () => {
  it('gives what there is room for, and refuses the rest until some are given back', () => {
    const { budget, refused } = aBudget(100);
    const first = budget.take(60);
    budget.take(40);
    expect(() => budget.take(1)).toThrow(OverloadedError);
    first.giveBack();
    first.giveBack();
    expect(budget.taken).toBe(40);
    budget.take(60);
    expect(refused).toEqual(['critical']);
  });

  it('gives all that is wanted to one who finds everything free, however much it is', () => {
    const { budget } = aBudget(100);
    budget.take(1000);
    expect(() => budget.take(1)).toThrow(OverloadedError);
  });

  it('refuses nobody who must have it', () => {
    const { budget } = aBudget(100);
    budget.take(100);
    budget.take(50, 'critical', { mustHave: true });
    expect(budget.taken).toBe(150);
  });

  it('leaves the least critical less of it', () => {
    const { budget, refused } = aBudget(100);
    budget.take(50);
    expect(() => budget.take(1, 'sheddable')).toThrow(OverloadedError);
    budget.take(25, 'sheddable-plus');
    expect(() => budget.take(1, 'sheddable-plus')).toThrow(OverloadedError);
    budget.take(25, 'critical');
    expect(refused).toEqual(['sheddable', 'sheddable-plus']);
  });

  it('frees what was taken when it is given back', () => {
    const { budget } = aBudget(100);
    let freed = 0;
    const held = budget.take(60, 'critical', { free: () => freed++ });
    expect(freed).toBe(0);
    held.giveBack();
    held.giveBack();
    expect(freed).toBe(1);
  });

  it('takes it from who has moved nothing for a second, the longest first, and only as much as it needs', () => {
    const { budget, clock, stalled } = aBudget(100);
    const cut: string[] = [];
    budget.take(40).sends(() => cut.push('first'));
    clock.ms += 10;
    const second = budget.take(40);
    second.sends(() => cut.push('second'));
    clock.ms += 10;
    budget.take(20).sends(() => cut.push('third'));
    clock.ms += 980;
    expect(() => budget.take(41)).toThrow(OverloadedError);
    expect(cut).toEqual(['first']);
    clock.ms += 1000;
    second.moved();
    budget.take(60);
    expect(cut).toEqual(['first', 'third']);
    expect(stalled.count).toBe(2);
  });

  it('takes nothing from who has not begun to send', () => {
    const { budget, clock } = aBudget(100);
    budget.take(100);
    clock.ms += 60_000;
    expect(() => budget.take(1)).toThrow(OverloadedError);
  });
});

describe('Who waits for bytes', () => {
  it('gets them as soon as there is room, the most critical first', async () => {
    const { budget } = aBudget(100);
    const first = budget.take(70);
    const order: string[] = [];
    const wait = async (name: string, criticality: Criticality) => {
      const held = await budget.wait(50, { criticality });
      order.push(name);
      held.giveBack();
    };
    const waiting = [wait('critical', 'critical'), wait('plus', 'critical-plus'), wait('sheddable', 'sheddable')];
    await new Promise(setImmediate);
    expect(order).toEqual([]);
    first.giveBack();
    await Promise.all(waiting);
    expect(order).toEqual(['plus', 'critical', 'sheddable']);
  });

  it('has a part of the budget with all who read, and gets it where nobody reads', async () => {
    const { budget } = aBudget(100);
    const first = await budget.wait(60);
    let second = false;
    void budget.wait(10).then(() => {
      second = true;
    });
    await new Promise(setImmediate);
    expect([second, budget.taken]).toEqual([false, 60]);
    first.giveBack();
    await expect.poll(() => second).toBe(true);
    await budget.wait(20);
    expect(budget.taken).toBe(30);
  });

  it('leaves a part free for those who send what was read', async () => {
    const { budget } = aBudget(100);
    budget.take(50);
    const first = await budget.wait(25);
    let second = false;
    void budget.wait(1).then(() => {
      second = true;
    });
    // It gives back what the read took, and then takes what the sending does: nobody gets between.
    first.giveBack();
    const sending = budget.take(50);
    await new Promise(setImmediate);
    expect(second).toBe(false);
    sending.giveBack();
    await expect.poll(() => second).toBe(true);
  });

  it('is refused when there is still no room after a second', async () => {
    const { budget, refused } = aBudget(100);
    budget.take(100);
    await expect(budget.wait(10)).rejects.toBeInstanceOf(OverloadedError);
    expect(refused).toEqual(['critical']);
  });

  it('leaves when it is aborted', async () => {
    const { budget } = aBudget(100);
    const held = budget.take(100);
    const leaving = new AbortController();
    const waiting = budget.wait(10, { signal: leaving.signal });
    const reason = new Error('gone');
    leaving.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await expect(budget.wait(10, { signal: leaving.signal })).rejects.toBe(reason);
    held.giveBack();
    await new Promise(setImmediate);
    expect(budget.taken).toBe(0);
  });
});

function aBudget(maxBytes: number) {
  const clock = { ms: 0 };
  const refused: Criticality[] = [];
  const stalled = { count: 0 };
  const budget = new ByteBudget({
    maxBytes,
    now: () => clock.ms,
    onRefused: criticality => refused.push(criticality),
    onStalled: () => {
      stalled.count++;
    },
  });
  return { budget, clock, refused, stalled };
}
