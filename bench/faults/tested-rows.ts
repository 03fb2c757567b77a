import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import type { FaultRow, RowResult } from './row.ts';

/** Rows whose figure is exact, and so is a test: run here as there. */
export const TESTED_ROWS: readonly FaultRow[] = [
  tested('R5', 'connections exhausted', 'test/end-to-end/exhausted-connections.test.ts'),
  tested('R10', 'all caches cold under load', 'test/end-to-end/cached-reads.test.ts'),
  tested('R11', 'connection of the change feed cut', 'test/posts/feed/change-feed.test.ts'),
  tested('R12', 'replica behind', 'test/end-to-end/replicas.test.ts'),
  tested('R17', 'clock jumps by an hour', 'test/resilience/circuit-breaker.test.ts', 'test/cache/near-cache.test.ts'),
  tested('R18', 'file descriptors exhausted', 'test/end-to-end/exhausted-descriptors.test.ts'),
  tested('R19', 'log pipe closed, or not read', 'test/serve-process.test.ts'),
  tested(
    'R23',
    '1,000 concurrent reads of one cold post',
    'test/end-to-end/cached-reads.test.ts',
    'test/end-to-end/shared-cached-reads.test.ts',
  ),
  tested('R24', 'calls cancelled at random points', 'test/end-to-end/deadline-to-postgres.test.ts'),
  tested(
    'R25',
    'one request_id from 100 callers, and kill -9',
    'test/posts/api/create-post-once.test.ts',
    'test/end-to-end/killed-service.test.ts',
  ),
  tested(
    'R29',
    'asynchronous standby promoted, the last writes lost',
    'test/posts/feed/lost-history.test.ts',
    'test/end-to-end/promotions.test.ts',
    'test/end-to-end/failing-behind-pgbouncer.test.ts',
  ),
  tested(
    'R31',
    'dump and restore, point-in-time recovery, and what else people do to a database',
    'test/end-to-end/restored-database.test.ts',
    'test/end-to-end/restored-cluster.test.ts',
    'test/end-to-end/maintained-cluster.test.ts',
    'test/end-to-end/truncated-tables.test.ts',
    'test/end-to-end/prepared-transactions.test.ts',
    'test/db/migrations/load-dump.test.ts',
  ),
  tested(
    'R37',
    'other defaults of the database',
    'test/end-to-end/database-defaults.test.ts',
    'test/db/connection/session-client.test.ts',
  ),
];

function tested(id: string, fault: string, ...files: string[]): FaultRow {
  return { id, fault, run: () => runTests(files) };
}

async function runTests(files: readonly string[]): Promise<RowResult> {
  const child = spawn(process.execPath, [VITEST, 'run', ...files], { cwd: ROOT, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', text => (output += text));
  await once(child, 'close');
  const isMet = child.exitCode === 0;
  const passed = /Tests\s.*?(\d+) passed/.exec(output)?.[1] ?? '0';
  if (!isMet) console.error(output);
  return {
    figures: [
      { name: files.join(', '), value: isMet ? `${passed} tests passed` : 'failed', target: 'all pass', isMet },
    ],
  };
}

const ROOT = join(import.meta.dirname, '../..');
const VITEST = join(ROOT, 'node_modules/vitest/vitest.mjs');
