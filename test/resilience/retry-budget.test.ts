import { expect, it } from 'vitest';
import { RetryBudget } from '#src/resilience/retry-budget.ts';

it('lets a share of the calls be retried, and a burst of them', () => {
  const budget = new RetryBudget({ share: 0.1, burst: 10 });
  let retries = 0;
  for (let call = 0; call < 1000; call++) {
    budget.called();
    if (budget.mayRetry()) retries++;
  }
  expect(retries).toBeGreaterThanOrEqual(105);
  expect(retries).toBeLessThanOrEqual(110);
});

it('saves no more than a burst', () => {
  const budget = new RetryBudget({ share: 0.1, burst: 10 });
  for (let call = 0; call < 100_000; call++) budget.called();
  const allowed = Array.from({ length: 100 }, () => budget.mayRetry()).filter(Boolean);
  expect(allowed).toHaveLength(10);
});
