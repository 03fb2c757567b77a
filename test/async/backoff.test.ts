import { describe, expect, it } from 'vitest';
import { ReconnectPause } from '#src/async/backoff.ts';

describe('The pause before a connection is made anew', () => {
  it('is 10 ms at most after one that was open for a second', () => {
    const pause = new ReconnectPause();
    for (let n = 0; n < 100; n++) expect(pause.after(1000)).toBeLessThanOrEqual(10);
  });

  it('doubles, with jitter, up to 2 s while none can be had', () => {
    const pause = new ReconnectPause();
    pause.after(60_000);
    for (const most of [100, 200, 400, 800, 1600, 2000, 2000]) {
      const ms = pause.after(0);
      expect(ms).toBeLessThanOrEqual(most);
      expect(ms).toBeGreaterThanOrEqual(most / 2);
    }
  });

  it('grows where connections fail soon after they were opened', () => {
    const pause = new ReconnectPause();
    pause.after(999);
    expect(pause.after(999)).toBeGreaterThanOrEqual(50);
  });
});
