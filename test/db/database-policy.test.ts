import { describe, expect, it } from 'vitest';
import { DatabasePolicy } from '#src/db/database-policy.ts';
import { DatabaseUnavailableError, PoolExhaustedError } from '#src/db/errors.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';

describe('The policy for a database', () => {
  it('opens its circuit where all that is in flight hangs, though later calls only wait for their turn', async () => {
    const { policy, states } = aPolicy({ slowCallMs: 20 });
    const hung = Promise.withResolvers<void>();
    const calls = Array.from({ length: 100 }, () => policy.run('read', () => hung.promise).catch(() => {}));
    const oneMore = () => {
      calls.push(policy.run('read', () => hung.promise).catch(() => {}));
      return states;
    };
    await expect.poll(oneMore).toContain('open');
    hung.resolve();
    await Promise.all(calls);
  });

  it('lets nobody wait for those that hang, once its circuit is open', async () => {
    const { policy, states } = aPolicy({ slowCallMs: 20, lanes: 0, poolMax: 12 });
    const hung = Promise.withResolvers<void>();
    const running = Array.from({ length: 12 }, () => policy.run('read', () => hung.promise));
    const waiting = Array.from({ length: 20 }, () => policy.run('write', () => hung.promise));
    const oneMore = () => {
      policy.run('read', () => hung.promise).catch(() => {});
      return states;
    };
    await expect.poll(oneMore).toContain('open');
    const outcomes = await Promise.allSettled(waiting);
    expect(outcomes.map(({ status }) => status)).toEqual(Array(20).fill('rejected'));
    hung.resolve();
    await Promise.all(running);
  });

  it('opens its circuit where all reads are slow, however many writes find no connection free', async () => {
    const { policy, states } = aPolicy({ slowCallMs: 20 });
    const slow = Promise.withResolvers<void>();
    const reads = Array.from({ length: 12 }, () => policy.run('read', () => slow.promise).catch(() => {}));
    const refused = () => Promise.reject(new PoolExhaustedError('none is free'));
    const write = () => {
      for (let n = 0; n < 5; n++) void policy.run('write', refused).catch(() => {});
      return states;
    };
    await expect.poll(write).toContain('open');
    slow.resolve();
    await Promise.all(reads);
  });

  it.each([
    ['as many reads as writes at once where both go over the pool', { lanes: 0, poolMax: 3 }, 3],
    ['more reads where they go over lanes', { lanes: 2, poolMax: 3 }, 16],
  ])('lets %s', (_what, config, reads) => {
    const { admissions } = aPolicy(config).policy.state;
    expect([admissions.read.limit, admissions.write.limit]).toEqual([reads, 3]);
  });

  it('lets no more reads and writes through together than there are connections, where both go over the pool', async () => {
    const { policy } = aPolicy({ lanes: 0, poolMax: 3 });
    const held = Promise.withResolvers<void>();
    let begun = 0;
    const call = (kind: 'read' | 'write') =>
      policy.run(kind, () => {
        begun++;
        return held.promise;
      });
    const calls = [call('read'), call('read'), call('write'), call('write'), call('read')];
    expect(begun).toBe(3);
    held.resolve();
    await Promise.all(calls);
    expect(begun).toBe(5);
  });

  it('keeps room for writes beside reads that go over lanes, however many of those wait', async () => {
    const { policy } = aPolicy({ lanes: 2, poolMax: 3 });
    const held = Promise.withResolvers<void>();
    const reads = Array.from({ length: 50 }, () => policy.run('read', () => held.promise).catch(() => {}));
    await policy.run('write', () => Promise.resolve());
    held.resolve();
    await Promise.all(reads);
  });

  it('does not take a pool without a free connection for a database that answers again', async () => {
    const { policy, states } = aPolicy({ breakerOpenMs: 1 });
    const fail = () => policy.run('read', () => Promise.reject(new DatabaseUnavailableError('down'))).catch(() => {});
    for (let n = 0; n < 5; n++) await fail();
    expect(states.at(-1)).toBe('open');
    // Half open, and then open once more, or for ever closed.
    const tries = () => {
      void fail();
      return states.length;
    };
    await expect.poll(tries).toBeGreaterThan(4);
    expect(states).not.toContain('closed');
  });
});

function aPolicy(config: Parameters<typeof aDatabaseConfig>[0]) {
  const states: string[] = [];
  const pool = { acquire: () => Promise.reject(new PoolExhaustedError('none is free')) };
  const policy = new DatabasePolicy('primary', aDatabaseConfig(config), pool, {
    breakerChanged: (_, state) => states.push(state),
    callShed: () => {},
    watchAdmission: () => {},
  });
  // That it is closed at first is told too.
  states.length = 0;
  return { policy, states };
}
