import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Snapshot } from '#src/db/snapshot.ts';
import type { PostChangePosition } from '#src/posts/feed/post-change-position.ts';
import { ResumeTokens } from '#src/posts/feed/resume-token.ts';
import { InvalidArgumentError } from '#src/posts/invalid-argument-error.ts';

const SECRET = 'a secret of thirty-two characters';
const tokens = new ResumeTokens(SECRET);

const xid = fc.bigInt({ min: 3n, max: 2n ** 63n });
const snapshots = fc
  .tuple(xid, fc.array(fc.bigInt({ min: 0n, max: 1000n }), { maxLength: 50 }))
  .map(([min, later]) => new Snapshot(`${min}:${min + 1001n}:${later.map(n => min + n).join(',')}`));
const proofs = fc.record({
  id: fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
  digest: fc.stringMatching(/^[0-9a-f]{24}$/),
  recent: fc.array(xid, { maxLength: 32 }),
});
const positions: fc.Arbitrary<PostChangePosition> = fc.oneof(
  fc.record({ from: snapshots, to: fc.constant(undefined), afterId: fc.constant(0n), proof: proofs }),
  fc.record({ from: snapshots, to: snapshots, afterId: fc.bigInt({ min: 1n, max: 2n ** 63n - 1n }), proof: proofs }),
  // Of the release before.
  fc.record({
    from: snapshots,
    to: fc.option(snapshots, { nil: undefined }),
    afterId: fc.constant(7n),
    proof: fc.constant(undefined),
  }),
);

describe('ResumeTokens', () => {
  it('give back the place that they were made for, on every instance with the same secret', () => {
    const other = new ResumeTokens(SECRET);
    fc.assert(
      fc.property(positions, position => {
        const { from, to, afterId, proof } = other.open(tokens.seal(position));
        expect([from.text, to?.text, afterId]).toEqual([position.from.text, position.to?.text, position.afterId]);
        expect(proof).toEqual(position.proof);
      }),
    );
  });

  it('are refused with another secret', () => {
    const other = new ResumeTokens('another secret of 32 characters!!');
    fc.assert(fc.property(positions, position => refused(() => other.open(tokens.seal(position)))));
  });

  it('are refused when any one character is another, and when they are cut, padded or made up', () => {
    fc.assert(
      fc.property(positions, fc.nat(), fc.constantFrom(...'Aaz09-_=+/ '), fc.string(), (position, at, other, junk) => {
        const token = tokens.seal(position);
        const place = at % token.length;
        const altered = token.slice(0, place) + other + token.slice(place + 1);
        if (altered !== token) refused(() => tokens.open(altered));
        refused(() => tokens.open(token.slice(0, place)));
        refused(() => tokens.open(`${token}=`));
        refused(() => tokens.open(junk));
      }),
    );
  });

  it('are below the limit of the request with a thousand transactions running', () => {
    const running = Array.from({ length: 1000 }, (_, n) => 10_000_000_000n + BigInt(n) * 2n);
    const from = new Snapshot(`${running[0]}:${10_000_003_000n}:${running.join(',')}`);
    const proof = { id: 2n ** 62n, digest: '0'.repeat(24), recent: running.slice(0, 32) };
    expect(tokens.seal({ from, to: from, afterId: 2n ** 62n, proof }).length).toBeLessThan(32_768);
  });
});

function refused(open: () => unknown): void {
  expect(open).toThrow(expect.objectContaining({ name: InvalidArgumentError.name, reason: 'INVALID_RESUME_TOKEN' }));
}
