import fc from 'fast-check';
import { Histogram, type Metric, Registry } from 'prom-client';
import { describe, expect, it } from 'vitest';
import { DurationHistogram } from '#src/observability/fast-metrics.ts';

const NAME = 'duration_seconds';
const LABELS = ['procedure', 'protocol', 'code'] as const;
const BOUNDS = [0.001, 0.01, 0.1];

describe('DurationHistogram', () => {
  it("renders what prom-client's own histogram does", async () => {
    const label = fc.constantFrom('a', 'b', 'c"\\\n');
    const observation = fc.tuple(label, label, label, fc.double({ min: 0, max: 1, noNaN: true }));
    await fc.assert(
      fc.asyncProperty(fc.array(observation), async observations => {
        const [mine, theirs] = [new Registry(), new Registry()];
        const histogram = new DurationHistogram(NAME, 'Help.', LABELS, BOUNDS);
        mine.registerMetric(histogram as unknown as Metric);
        const model = new Histogram({
          name: NAME,
          help: 'Help.',
          labelNames: LABELS,
          buckets: BOUNDS,
          registers: [theirs],
        });
        for (const [procedure, protocol, code, seconds] of observations) {
          histogram.observe(procedure, protocol, code, seconds);
          model.observe({ procedure, protocol, code }, seconds);
        }
        expect(lines(await mine.metrics())).toEqual(lines(await theirs.metrics()));
      }),
    );
  });
});

/** Series have no order. */
function lines(text: string): string[] {
  return text.split('\n').sort();
}
