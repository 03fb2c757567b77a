import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Snapshot } from '#src/db/snapshot.ts';
import { WriteWatermarks } from '#src/posts/cache/write-watermarks.ts';

const KEEP_MS = 1000;
const NAMES = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];

/** All that came before `xid` has ended. */
const at = (xid: number) => new Snapshot(`${xid}:${xid}:`);

describe('What is known of the last writes', () => {
  it('lets answers be used that have seen them, and no others', () => {
    const writes = new WriteWatermarks({ keepMs: KEEP_MS, maxEntries: 10, now: () => 0 });
    writes.seen(['a'], at(20));
    writes.wrote(['b'], 30n);
    expect(writes.isCurrent(at(20), ['a'])).toBe(true);
    expect(writes.isCurrent(at(19), ['a'])).toBe(false);
    expect(writes.isCurrent(at(31), ['b'])).toBe(true);
    expect(writes.isCurrent(at(30), ['b'])).toBe(false);
    expect(writes.isCurrent(at(1), ['c'])).toBe(true);
  });

  it('never lets an answer be used that an unbounded memory would not, in any history', () => {
    const step = fc.record({
      names: fc.uniqueArray(fc.constantFrom(...NAMES), { minLength: 1, maxLength: 3 }),
      own: fc.boolean(),
      passMs: fc.constantFrom(0, 0, 10, 400, 1100),
    });
    const property = fc.property(
      fc.array(step, { maxLength: 40 }),
      fc.integer({ min: 2, max: 6 }),
      (steps, maxEntries) => {
        let now = 0;
        const bounded = new WriteWatermarks({ keepMs: KEEP_MS, maxEntries, now: () => now });
        const history: { readonly name: string; readonly xid: number; readonly at: number; isUntold: boolean }[] = [];
        steps.forEach(({ names, own, passMs }, n) => {
          now += passMs;
          const xid = 100 + 10 * n;
          if (own) bounded.wrote(names, BigInt(xid));
          else bounded.seen(names, at(xid + 1));
          if (!own) for (const write of history) if (names.includes(write.name)) write.isUntold = false;
          for (const name of names) history.push({ name, xid, at: now, isUntold: own });
          for (const name of NAMES) {
            // What was written longer ago than `keepMs`, and told by the feed, may be forgotten.
            const known = history.filter(write => write.name === name && (write.isUntold || now - write.at < KEEP_MS));
            for (const read of [xid - 25, xid - 15, xid - 5, xid + 5]) {
              const mayBeUsed = known.every(write => read > write.xid);
              if (!mayBeUsed) expect(bounded.isCurrent(at(read), [name])).toBe(false);
            }
            expect(bounded.isCurrent(at(xid + 5), [name])).toBe(true);
          }
        });
      },
    );
    fc.assert(property, { numRuns: 2000 });
  });
});
