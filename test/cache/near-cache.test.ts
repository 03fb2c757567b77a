import { afterEach, describe, expect, it, vi } from 'vitest';
import { NearCache } from '#src/cache/near-cache.ts';

afterEach(() => {
  vi.useRealTimers();
});

describe('A near cache', () => {
  it('gives the very value that it was given, until its time is over', () => {
    const { cache, clock } = aCache();
    const value = { text: 'a' };
    cache.set('key', value, 1000);
    clock.now += 999;
    expect(cache.get('key')).toBe(value);
    clock.now += 1;
    expect(cache.get('key')).toBeUndefined();
    expect([cache.size, cache.bytes]).toEqual([0, 0]);
  });

  it('is not moved by a jump of the wall clock (R17)', () => {
    const { cache } = aCache();
    cache.set('key', { text: 'a' }, 1000);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 });
    expect(cache.get('key')).toBeDefined();
    vi.setSystemTime(Date.now() - 7_200_000);
    expect(cache.get('key')).toBeDefined();
  });

  it('counts what stands around its values, so that small ones do not take more than it says', () => {
    const { cache } = aCache();
    for (let n = 0; n < 10_000; n++) cache.set(`key-${n}`, { text: '' }, 1000);
    expect(cache.bytes).toBeLessThanOrEqual(100_000);
    expect(cache.size).toBeLessThan(700);
  });

  it('forgets what it is told to', () => {
    const { cache } = aCache();
    cache.set('key', { text: 'a' }, 1000);
    cache.delete('key');
    expect(cache.get('key')).toBeUndefined();
  });
});

function aCache() {
  const clock = { now: 0 };
  const sizeOf = ({ text }: { readonly text: string }) => text.length;
  return { cache: new NearCache({ maxBytes: 100_000, sizeOf, now: () => clock.now }), clock };
}
