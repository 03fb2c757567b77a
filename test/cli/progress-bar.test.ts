import { describe, expect, it } from 'vitest';
import type { Progress } from '#src/cli/progress-bar.ts';
import { ProgressBar } from '#src/cli/progress-bar.ts';

const at = (done: number): Progress => ({ done, total: 1050, failed: 0, current: `${done}.md` });

/** A bar on a stream that keeps what is written, with a clock that the test sets. */
function aBar(stream: { isTTY?: boolean; columns?: number }) {
  const written: string[] = [];
  const clock = { ms: 5000 };
  const bar = new ProgressBar({ ...stream, write: text => written.push(text) }, () => clock.ms);
  return { bar, written, clock };
}

describe('ProgressBar on a terminal', () => {
  it('rewrites one line', () => {
    const { bar, written, clock } = aBar({ isTTY: true, columns: 200 });
    bar.update(at(0));
    clock.ms += 1000;
    bar.update(at(525));
    expect(written).toEqual([
      '\r────────────────────────    0 %  0/1,050  0.md\u001b[K',
      '\r━━━━━━━━━━━━────────────   50 %  525/1,050  525/s  1.0 s left  525.md\u001b[K',
    ]);
  });

  it('writes at most 12 times a second', () => {
    const { bar, written, clock } = aBar({ isTTY: true, columns: 80 });
    for (let done = 0; done < 1000; done++, clock.ms++) bar.update(at(done));
    expect(written).toHaveLength(13);
  });

  it('leaves the last column free', () => {
    const { bar, written } = aBar({ isTTY: true, columns: 60 });
    bar.update({ ...at(0), current: 'x'.repeat(100) });
    expect(written[0]).toHaveLength('\r'.length + 59 + '\u001b[K'.length);
  });

  it('takes its line away, once', () => {
    const { bar, written } = aBar({ isTTY: true });
    bar.clear();
    bar.update(at(0));
    bar.clear();
    bar.clear();
    expect(written.slice(1)).toEqual(['\r\u001b[K']);
  });
});

describe('ProgressBar elsewhere', () => {
  it('writes nothing in a short run', () => {
    const { bar, written, clock } = aBar({});
    for (let done = 0; done <= 9; done++, clock.ms += 1000) bar.update(at(done));
    bar.clear();
    expect(written).toEqual([]);
  });

  it('writes a plain line every ten seconds of a long one', () => {
    const { bar, written, clock } = aBar({ isTTY: false });
    for (let done = 0; done <= 25; done++, clock.ms += 1000) bar.update({ ...at(done), failed: done > 15 ? 2 : 0 });
    expect(written).toEqual(['10 of 1,050 after 10 s\n', '20 of 1,050, 2 failed after 20 s\n']);
  });

  it('says how many where the total is unknown', () => {
    const { bar, written, clock } = aBar({});
    clock.ms += 75_000;
    bar.update({ done: 1234, total: undefined, failed: 0, current: '' });
    expect(written).toEqual(['1,234 after 1 min 15 s\n']);
  });
});
