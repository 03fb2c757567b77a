import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RecentMap } from '#src/rpc/unary/codec/recent-map.ts';

const MAX = 3;
const keys = fc.array(fc.constantFrom(...'abcdefghijklmnop'), { maxLength: 60 });

describe('RecentMap', () => {
  it('has what was set among the last as many as a generation holds', () => {
    fc.assert(
      fc.property(keys, all => {
        const map = new RecentMap<string>(MAX);
        for (const key of all) map.set(key, `${key}!`);
        for (const key of all.slice(-MAX)) expect(map.get(key)).toBe(`${key}!`);
      }),
    );
  });

  it('has no more than two generations, and nothing that was not set', () => {
    fc.assert(
      fc.property(keys, all => {
        const map = new RecentMap<string>(MAX);
        for (const key of all) map.set(key, `${key}!`);
        // Asking may move entries, and never makes more of them.
        const found = [...'abcdefghijklmnopq'].filter(key => map.get(key) !== undefined);
        expect(found.length).toBeLessThanOrEqual(2 * MAX);
        expect(all).toEqual(expect.arrayContaining(found));
      }),
    );
  });

  it('keeps what is asked for again and again, however many others come', () => {
    const map = new RecentMap<number>(MAX);
    map.set('kept', 1);
    for (let i = 0; i < 100; i++) {
      map.set(`other-${i}`, i);
      expect(map.get('kept')).toBe(1);
    }
  });

  it('gives the value that was set last, also where an older generation has another', () => {
    const map = new RecentMap<number>(MAX);
    map.set('a', 1);
    for (const key of ['b', 'c', 'd']) map.set(key, 0);
    map.set('a', 2);
    expect(map.get('a')).toBe(2);
  });

  it('forgets what was not asked for while twice as many others were set', () => {
    const map = new RecentMap<number>(MAX);
    for (const key of ['a', 'b', 'c', 'd', 'e', 'f', 'g']) map.set(key, 0);
    expect(map.get('a')).toBeUndefined();
  });
});
