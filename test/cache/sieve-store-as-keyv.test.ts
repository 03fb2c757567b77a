import { afterEach, describe, expect, it, vi } from 'vitest';
import { createNearCache } from '#src/cache/sieve-store.ts';

afterEach(() => {
  vi.useRealTimers();
});

describe('A near cache', () => {
  it('gives the very value that it was given, at once and through Keyv', async () => {
    const { keyv, peek } = aCache();
    const value = { text: 'a' };
    await keyv.set('key', value);
    expect(peek?.('key')).toBe(value);
    expect(await keyv.get('key')).toBe(value);
  });

  it('is not moved by a jump of the wall clock (R17)', async () => {
    const { keyv, peek } = aCache();
    await keyv.set('key', { text: 'a' });
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 3_600_000 });
    expect([await keyv.get('key'), peek?.('key')]).not.toContain(undefined);
    vi.setSystemTime(Date.now() - 7_200_000);
    expect([await keyv.get('key'), peek?.('key')]).not.toContain(undefined);
  });

  it('counts what stands around its values, so that small ones do not take more than it says', async () => {
    const { keyv, store } = aCache();
    for (let n = 0; n < 10_000; n++) await keyv.set(`key-${n}`, { text: '' });
    expect(store.bytes).toBeLessThanOrEqual(100_000);
    expect(store.size).toBeLessThan(700);
  });

  it('forgets at once what it is told to', async () => {
    const { keyv, peek } = aCache();
    await keyv.set('key', { text: 'a' });
    void keyv.delete('key');
    expect(peek?.('key')).toBeUndefined();
  });
});

function aCache() {
  return createNearCache({ maxBytes: 100_000, sizeOf: ({ text }: { readonly text: string }) => text.length });
}
