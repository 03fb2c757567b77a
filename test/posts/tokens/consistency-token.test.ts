import { describe, expect, it } from 'vitest';
import { InvalidArgumentError } from '#src/posts/invalid-argument-error.ts';
import { ConsistencyTokens, demandOf } from '#src/posts/tokens/consistency-token.ts';

const tokens = new ConsistencyTokens('a secret of thirty-two characters');

describe('A consistency token', () => {
  it.each([
    [3n, 0],
    [700n, 1],
    [2n ** 48n - 1n, 65_535],
  ])('names the transaction %d of the timeline %d', (xid, timeline) => {
    expect(tokens.open(tokens.seal(xid, timeline))).toEqual([{ xid, timeline }]);
  });

  it('of a timeline beyond its room names none', () => {
    expect(tokens.open(tokens.seal(700n, 65_536))).toEqual([{ xid: 700n, timeline: 0 }]);
  });

  it('is refused where any byte of it was altered', () => {
    const bytes = Buffer.from(tokens.seal(700n, 2), 'base64url');
    for (const at of bytes.keys()) {
      const altered = Buffer.from(bytes);
      altered.writeUInt8(altered.readUInt8(at) ^ 1, at);
      expect(() => tokens.open(altered.toString('base64url'))).toThrow(InvalidArgumentError);
    }
  });
});

describe('What a read has to see where the primary is of timeline 2', () => {
  it.each([
    ['a write of the same timeline', { xid: 7n, timeline: 2 }, { minTransactions: [7n], fresh: false }],
    ['a write that does not name its timeline', { xid: 7n, timeline: 0 }, { minTransactions: [7n], fresh: false }],
    ['what is left of an older timeline', { xid: 7n, timeline: 1 }, { minTransactions: [], fresh: false }],
    [
      'what the primary has, for a timeline that is not known yet',
      { xid: 7n, timeline: 3 },
      { minTransactions: [], fresh: true },
    ],
  ])('is %s', (_case, write, demand) => {
    expect(demandOf([write], 2)).toEqual(demand);
  });

  it('is what the primary has, where the timeline of the primary is not known', () => {
    expect(demandOf([{ xid: 7n, timeline: 1 }], undefined)).toEqual({ minTransactions: [], fresh: true });
  });
});
