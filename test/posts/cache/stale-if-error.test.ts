import { describe, expect, it } from 'vitest';
import { DatabaseUnavailableError, PoolExhaustedError, StatementTimeoutError } from '#src/db/errors.ts';
import { createLogger } from '#src/observability/logger.ts';
import { StaleIfError } from '#src/posts/cache/stale-if-error.ts';
import { OverloadedError } from '#src/resilience/overloaded-error.ts';
import { LogLines } from '#test/support/log-lines.ts';

async function anOutage(isQueueing = false): Promise<StaleIfError> {
  const log = await createLogger({ level: 'fatal', format: 'json' }, new LogLines());
  let now = 1000;
  return new StaleIfError(
    log,
    () => now++,
    () => isQueueing,
  );
}

const failing = (error: Error) => () => Promise.reject(error);

describe('An outage of the database', () => {
  it.each([
    ['fails', new DatabaseUnavailableError('no connection')],
    ['takes too long', new StatementTimeoutError('too long')],
  ])('begins when it %s, with something else to serve', async (_how, error) => {
    const outage = await anOutage();
    expect(await outage.unlessItFails(failing(error), undefined)).toBeUndefined();
    expect(outage.durationMs).toBeGreaterThan(0);
  });

  it.each([
    ['no connection of ours is free', new PoolExhaustedError('all in use')],
    ['we refuse it ourselves', new OverloadedError('too many')],
  ])('does not begin where %s, though something else is served', async (_why, error) => {
    const outage = await anOutage();
    expect(await outage.unlessItFails(failing(error), undefined)).toBeUndefined();
    outage.failed(error);
    expect(outage.durationMs).toBe(0);
  });

  it.each([
    ['begins', false],
    ['does not begin, while calls queue for it,', true],
  ])('%s with an answer that is late, for which nobody waits', async (_what, isQueueing) => {
    const outage = await anOutage(isQueueing);
    expect(await outage.unlessItFails(() => new Promise(() => {}), undefined)).toBeUndefined();
    expect(outage.durationMs > 0).toBe(!isQueueing);
  });

  it('does not begin with an error of what was asked for, which the caller gets', async () => {
    const outage = await anOutage();
    await expect(outage.unlessItFails(failing(new RangeError('no such post')), undefined)).rejects.toThrow(RangeError);
    expect(outage.durationMs).toBe(0);
  });

  it('ends with the first answer', async () => {
    const outage = await anOutage();
    outage.failed(new DatabaseUnavailableError('no connection'));
    expect(outage.durationMs).toBeGreaterThan(0);
    outage.ended();
    expect(outage.durationMs).toBe(0);
  });
});
