import { describe, expect, it } from 'vitest';
import { STREAM_RESETS, StreamResets } from '#src/wire/stream-resets.ts';

/** Counts so many a second, evenly, and says after how many there was one too many; undefined: there was none. */
function countsUntilTooMany(perSecond: number, seconds: number): number | undefined {
  let now = 0;
  const resets = new StreamResets(() => now);
  for (let n = 1; n <= perSecond * seconds; n++) {
    now += 1000 / perSecond;
    if (resets.count()) return n;
  }
  return undefined;
}

describe('resets of streams', () => {
  it.each([33, 500, 950])('may come %i a second for an hour', perSecond => {
    expect(countsUntilTooMany(perSecond, 3600)).toBeUndefined();
  });

  it.each([2000, 5000, 50_000])('are a flood at %i a second, within a second', perSecond => {
    expect(countsUntilTooMany(perSecond, 2)).toBeLessThanOrEqual(Math.max(2 * STREAM_RESETS.burst, perSecond));
  });

  it('may come all at once where a client gives up what it has called in a second', () => {
    const resets = new StreamResets(() => 0);
    expect(Array.from({ length: STREAM_RESETS.burst }, () => resets.count())).not.toContain(true);
    expect(resets.count()).toBe(true);
  });
});
