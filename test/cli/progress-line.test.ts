import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatSeconds, printable, progressLine } from '#src/cli/progress-bar.ts';

const half = { done: 525, total: 1050, failed: 3, current: 'announcements/mikeal.md' };

describe('progressLine', () => {
  it('shows bar, share, count, failures, rate, time to go and file', () => {
    expect(progressLine(half, { elapsedMs: 2000, columns: 120 })).toBe(
      '━━━━━━━━━━━━────────────   50 %  525/1,050  3 failed  263/s  2.0 s left  announcements/mikeal.md',
    );
  });

  it('is full at the end, with no time to go', () => {
    expect(progressLine({ ...half, done: 1050, failed: 0 }, { elapsedMs: 3000, columns: 60 })).toBe(
      '━━━━━━━━━━━━━━━━━━━━━━━━  100 %  1,050/1,050  350/s',
    );
  });

  it('shows no bar where the total is unknown', () => {
    expect(progressLine({ ...half, total: undefined, failed: 0 }, { elapsedMs: 1000, columns: 80 })).toBe(
      '525  525/s  announcements/mikeal.md',
    );
  });

  it('leaves out first what matters least', () => {
    const at = (columns: number) => progressLine(half, { elapsedMs: 2000, columns });
    expect(at(90)).toBe('━━━━━━━━━━━━────────────   50 %  525/1,050  3 failed  263/s  2.0 s left  …ements/mikeal.md');
    expect(at(75)).toBe('━━━━━━━━━━━━────────────   50 %  525/1,050  3 failed  263/s  2.0 s left');
    expect(at(45)).toBe('━━━━━━━━━━━━────────────   50 %  525/1,050');
    expect(at(10)).toBe('');
  });

  it('is never wider than the terminal', () => {
    const count = fc.nat(1_000_000);
    fc.assert(
      fc.property(
        count,
        fc.option(count, { nil: undefined }),
        fc.string({ unit: 'grapheme' }),
        fc.nat(200),
        (done, more, current, columns) => {
          const progress = { done, total: more === undefined ? undefined : done + more, failed: 1, current };
          expect(widthOf(progressLine(progress, { elapsedMs: 1000, columns }))).toBeLessThanOrEqual(columns);
        },
      ),
    );
  });

  it('shows nothing that a terminal would obey', () => {
    const current = 'a\u001b[2Jb\nc\rd\u009be\u202e.md';
    expect(progressLine({ ...half, current }, { elapsedMs: 1000, columns: 200 })).toContain(
      'a\uFFFD[2Jb\uFFFDc\uFFFDd\uFFFDe\uFFFD.md',
    );
  });
});

describe('formatSeconds', () => {
  it.each([
    [0, '0.0 s'],
    [3.21, '3.2 s'],
    [9.96, '10 s'],
    [59.4, '59 s'],
    [59.6, '1 min 0 s'],
    [75, '1 min 15 s'],
    [7200, '120 min 0 s'],
  ])('makes of %d %j', (seconds, text) => expect(formatSeconds(seconds)).toBe(text));
});

describe('printable', () => {
  it('leaves text as it is', () => expect(printable('Crème 日本語 😀 …')).toBe('Crème 日本語 😀 …'));
});

/** Columns on a terminal, by Unicode's properties. */
function widthOf(line: string): number {
  const wide =
    /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}\p{Emoji_Presentation}\u3000-\u303e\uff01-\uff60]/u;
  return [...line.replace(/\p{Mark}/gu, '')].reduce((sum, char) => sum + (wide.test(char) ? 2 : 1), 0);
}
