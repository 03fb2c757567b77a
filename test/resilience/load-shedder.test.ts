import { describe, expect, it } from 'vitest';
import { CRITICALITIES } from '#src/resilience/criticality.ts';
import { LoadShedder } from '#src/resilience/load-shedder.ts';

describe('A load shedder', () => {
  it('refuses nothing while the event loop is in time', () => {
    const shedder = new LoadShedder({ targetMs: 20 });
    for (let n = 0; n < 1000; n++) shedder.observe(20);
    expect(shedder.isShedding).toBe(false);
    expect(CRITICALITIES.every(criticality => shedder.admits(criticality))).toBe(true);
  });

  it('refuses what is least critical first', () => {
    const shedder = new LoadShedder({ targetMs: 20, random: () => 0.5 });
    const admitted = new Set<string>();
    for (let n = 0; n < 60; n++) {
      shedder.observe(40);
      admitted.add(CRITICALITIES.filter(criticality => shedder.admits(criticality)).join());
    }
    expect([...admitted]).toEqual([
      'critical-plus,critical,sheddable-plus,sheddable',
      'critical-plus,critical,sheddable-plus',
      'critical-plus,critical',
      'critical-plus',
      '',
    ]);
  });

  it('refuses more the longer it is late, and all but a few in the end', () => {
    const shedder = new LoadShedder({ targetMs: 20 });
    for (let n = 0; n < 1000; n++) shedder.observe(1000);
    const served = Array.from({ length: 10_000 }, () => shedder.admits('critical-plus')).filter(Boolean).length;
    expect(served).toBeGreaterThan(500);
    expect(served).toBeLessThan(1500);
    expect(shedder.admits('critical')).toBe(false);
  });

  it('refuses nothing any more within a few seconds of recovery', () => {
    const shedder = new LoadShedder({ targetMs: 20 });
    for (let n = 0; n < 1000; n++) shedder.observe(1000);
    for (let n = 0; n < 150; n++) shedder.observe(1);
    expect(shedder.isShedding).toBe(false);
  });
});
