import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ReplicaSet } from '#src/db/replicas/replica-set.ts';
import type { ReadExecutor, ReadOptions, SnapshotRow } from '#src/db/snapshot-reads.ts';
import { createLogger } from '#src/observability/logger.ts';
import { LogLines } from '#test/support/log-lines.ts';

beforeEach(() => {
  vi.useFakeTimers();
});

afterEach(() => {
  vi.useRealTimers();
});

describe('a set with one replica', () => {
  it('reads from it though its calls queue for longer than it may take', async () => {
    await using set = await aSet(async demand => {
      await waitFor(5000);
      demand.begun?.();
      await waitFor(10);
    });
    const rows = set.query<NamedRow>({ text: 'select' }, []);
    await vi.advanceTimersByTimeAsync(6000);
    expect((await rows)[0]?.from).toBe('replica');
    expect(set.usable).toBe(1);
  });

  it('reads from the primary instead where it takes longer than it may, once it is its turn', async () => {
    await using set = await aSet(async demand => {
      await waitFor(10);
      demand.begun?.();
      await waitFor(5000);
    });
    const rows = set.query<NamedRow>({ text: 'select' }, []);
    await vi.advanceTimersByTimeAsync(1100);
    expect((await rows)[0]?.from).toBe('primary');
    expect(set.usable).toBe(0);
  });
});

/** @param wait what a read of the replica does before its answer. */
async function aSet(wait: (demand: ReadOptions) => Promise<void>): Promise<ReplicaSet> {
  const log = await createLogger({ level: 'fatal', format: 'json' }, new LogLines());
  const replica: ReadExecutor = {
    query: async ({ text }, _values, demand = {}) => {
      if (!isLook(text)) await wait(demand);
      return [{ taken: '1:2:', from: 'replica', lsn: '1', is_replica: true, note: 'a' }] as never;
    },
  };
  const primary: ReadExecutor = { query: async () => [{ taken: '1:2:', from: 'primary', lsn: '1' }] as never };
  const member = { name: 'a replica', reads: replica, [Symbol.asyncDispose]: async () => {} };
  const options = { maxLagMs: 1000, lookEveryMs: 60_000 };
  const set = new ReplicaSet(primary, [member], { era: 1, note: 'a' }, options, log);
  await vi.advanceTimersByTimeAsync(1);
  expect(set.usable).toBe(1);
  return set;
}

interface NamedRow extends SnapshotRow {
  readonly from: string;
}

function isLook(text: string): boolean {
  return text.includes('lsn');
}

function waitFor(ms: number): Promise<void> {
  return new Promise(resolve => setTimeout(resolve, ms));
}
