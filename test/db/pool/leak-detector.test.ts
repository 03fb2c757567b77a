import { expect, it } from 'vitest';
import { type HeldConnection, LeakDetector } from '#src/db/pool/leak-detector.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { createTestDatabase } from '#test/support/postgres.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';

it('tells once of a connection that is held for too long, and who took it', async () => {
  const leaks: HeldConnection[] = [];
  const told = Promise.withResolvers<void>();
  const held = new LeakDetector(20, leak => {
    leaks.push(leak);
    told.resolve();
  });
  const forgetful = () => held.take(new Error('taken here'));
  const putBack = forgetful();
  await told.promise;
  expect(leaks[0]?.heldMs).toBeGreaterThanOrEqual(20);
  expect(leaks[0]?.takenBy).toContain('at forgetful');
  expect(held.list()).toHaveLength(1);
  expect(putBack()).toBeGreaterThanOrEqual(20);
  expect(held.list()).toEqual([]);
  held.end();
  expect(leaks).toHaveLength(1);
});

it('is told by a pool of who took its connection, and for how long', async () => {
  await using database = await createTestDatabase();
  const leaked = Promise.withResolvers<HeldConnection>();
  const [waits, holds]: number[][] = [[], []];
  const pool = new ConnectionPool(database.url, aDatabaseConfig({ leakAfterMs: 20 }), {
    leaked: leaked.resolve,
    waited: ms => waits?.push(ms),
    held: ms => holds?.push(ms),
  });
  async function takeAndForget() {
    return await pool.acquire();
  }
  const connection = await takeAndForget();
  expect((await leaked.promise).takenBy).toContain('takeAndForget');
  expect(pool.heldConnections).toHaveLength(1);
  connection.release();
  expect(pool.heldConnections).toEqual([]);
  expect([waits?.length, holds?.length]).toEqual([1, 1]);
  expect(holds?.[0]).toBeGreaterThanOrEqual(20);
  await pool.end();
});
