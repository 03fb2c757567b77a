import fc from 'fast-check';
import { Keyv } from 'keyv';
import { describe, expect, it } from 'vitest';
import { SieveStore } from '#src/cache/sieve-store.ts';

const MAX_BYTES = 160;

describe('A SIEVE store', () => {
  it('keeps what was used since the hand last passed, and evicts the oldest that was not', async () => {
    const store = new SieveStore<number>(4 * 16, () => 4);
    for (let n = 0; n < 16; n++) await put(store, `${n}`, n);
    store.peek('0');
    await store.get('2');
    await put(store, 'a', 100);
    await put(store, 'b', 101);
    const left = Array.from({ length: 16 }, (_, n) => n).filter(n => store.peek(`${n}`) !== undefined);
    expect(left).toEqual([0, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
  });

  it('does not let a scan push out what is in use, as least-recently-used would', async () => {
    const store = new SieveStore<number>(100 * 4, () => 4);
    const hot = Array.from({ length: 50 }, (_, n) => `hot-${n}`);
    for (const key of hot) await put(store, key, 1);
    for (let n = 0; n < 10_000; n++) {
      if (n % 60 === 0) for (const key of hot) expect(store.peek(key)).toBe(1);
      await put(store, `scan-${n}`, n);
    }
  });

  it('does not keep what is larger than a sixteenth of it', async () => {
    const store = new SieveStore<number>(160, value => value);
    await put(store, 'a', 5);
    await put(store, 'a', 11);
    expect(store.peek('a')).toBeUndefined();
    expect([store.bytes, store.size]).toEqual([0, 0]);
    expect(await put(store, 'b', 10)).toBe(true);
  });

  it('does as a plain list would that is searched from its start, whatever is done with it', async () => {
    const key = fc.integer({ min: 0, max: 30 }).map(String);
    const step = fc.oneof(
      fc.record({ do: fc.constant('get' as const), key }),
      fc.record({ do: fc.constant('set' as const), key, value: fc.integer({ min: 1, max: 12 }) }),
      fc.record({ do: fc.constant('delete' as const), key }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 200 }), async steps => {
        const store = new SieveStore<number>(MAX_BYTES, value => value);
        const model = new PlainSieve();
        for (const taken of steps) {
          if (taken.do === 'get') expect(store.peek(taken.key)).toBe(model.get(taken.key));
          else if (taken.do === 'delete') expect(await store.delete(taken.key)).toBe(model.delete(taken.key));
          else expect(await put(store, taken.key, taken.value)).toBe(model.set(taken.key, taken.value));
          expect([store.bytes, store.size]).toEqual([model.bytes, model.entries.length]);
          expect(store.bytes).toBeLessThanOrEqual(MAX_BYTES);
        }
        for (let n = 0; n <= 30; n++) expect(store.peek(`${n}`)).toBe(model.get(`${n}`));
      }),
      { numRuns: 500 },
    );
  });

  it('is a store that Keyv takes, and gives the very value that was put there', async () => {
    const store = new SieveStore<object>(1000, () => 10);
    const keyv = new Keyv<object>({
      ...{ store, serialize: undefined, deserialize: undefined },
      useKeyPrefix: false,
    } as object);
    const value = { title: 'a' };
    expect(await keyv.set('key', value)).toBe(true);
    expect(await keyv.get('key')).toBe(value);
    expect(store.peek('key')).toBe(value);
    expect([await keyv.has('key'), await keyv.has('other')]).toEqual([true, false]);
    expect([await keyv.delete('key'), await keyv.delete('key')]).toEqual([true, false]);
    await keyv.set('key', value);
    await keyv.clear();
    expect([await keyv.get('key'), store.size, store.bytes]).toEqual([undefined, 0, 0]);
  });
});

/** As Keyv does, without a serializer. */
function put(store: SieveStore<number>, key: string, value: number): Promise<boolean> {
  return store.set(key, { value });
}

/** The algorithm as its paper describes it, on an array from old to new. */
class PlainSieve {
  entries: { key: string; value: number; used: boolean }[] = [];
  #hand = 0;

  get bytes() {
    return this.entries.reduce((sum, { value }) => sum + value, 0);
  }

  get(key: string) {
    const entry = this.entries.find(other => other.key === key);
    if (entry !== undefined) entry.used = true;
    return entry?.value;
  }

  set(key: string, value: number) {
    const entry = this.entries.find(other => other.key === key);
    if (value > MAX_BYTES / 16) {
      this.delete(key);
      return false;
    }
    if (entry !== undefined) {
      Object.assign(entry, { value, used: true });
      while (this.bytes > MAX_BYTES) this.#evict();
      return this.entries.includes(entry);
    }
    while (this.bytes + value > MAX_BYTES) this.#evict();
    this.entries.push({ key, value, used: false });
    return true;
  }

  delete(key: string) {
    const index = this.entries.findIndex(entry => entry.key === key);
    if (index < 0) return false;
    this.#remove(index);
    return true;
  }

  #evict() {
    for (;;) {
      if (this.#hand >= this.entries.length) this.#hand = 0;
      const entry = this.entries[this.#hand];
      if (entry === undefined) throw new Error('there is nothing to evict');
      if (!entry.used) break;
      entry.used = false;
      this.#hand++;
    }
    this.#remove(this.#hand);
    // Past the newest it begins anew, whatever comes meanwhile.
    if (this.#hand >= this.entries.length) this.#hand = 0;
  }

  #remove(index: number) {
    this.entries.splice(index, 1);
    if (index < this.#hand) this.#hand--;
    if (this.#hand >= this.entries.length) this.#hand = 0;
  }
}
