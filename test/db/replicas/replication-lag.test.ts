import { describe, expect, it } from 'vitest';
import { ReplicationLag } from '#src/db/replicas/replica-set.ts';

describe('ReplicationLag', () => {
  it('is none where the replica has replayed all that was written', () => {
    const lag = new ReplicationLag();
    expect(lag.lagMs(5n, 1000)).toBe(0);
    lag.written(10n, 0);
    expect(lag.lagMs(10n, 60_000)).toBe(0);
    expect(lag.lagMs(11n, 60_000)).toBe(0);
  });

  it('is the time since the first thing was written that the replica lacks', () => {
    const lag = new ReplicationLag();
    for (const [lsn, at] of [
      [10n, 0],
      [20n, 500],
      [20n, 1000],
      [30n, 1500],
    ] as const) {
      lag.written(lsn, at);
    }
    expect(lag.lagMs(9n, 2000)).toBe(2000);
    expect(lag.lagMs(10n, 2000)).toBe(1500);
    expect(lag.lagMs(29n, 2000)).toBe(500);
  });

  it('is at least two minutes for one that lacks all that is remembered', () => {
    const lag = new ReplicationLag();
    for (let look = 0; look < 1000; look++) lag.written(BigInt(look), look * 500);
    expect(lag.lagMs(0n, 500_000)).toBeGreaterThanOrEqual(120_000);
  });
});
