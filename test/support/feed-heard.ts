import type { TestService } from '#test/support/test-service.ts';

/** Resolves when the services' change feeds have told of all that was committed before this call. */
export async function untilFeedHeard(...services: readonly TestService[]): Promise<void> {
  const since = performance.now();
  for (const { adminUrl } of services) {
    for (;;) {
      const askedAt = performance.now();
      const metrics = await (await fetch(`${adminUrl}/metrics`)).text();
      const lagMs = Number(/^feed_lag_seconds (\S+)/m.exec(metrics)?.[1]) * 1000;
      if (lagMs < askedAt - since) break;
    }
  }
}
