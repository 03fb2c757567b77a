import { once } from 'node:events';
import { createServer } from 'node:net';
import { describe, expect, it } from 'vitest';
import { createDatabase } from '#src/db/database.ts';
import { DatabaseUnavailableError } from '#src/db/errors.ts';
import { isSchemaUpToDateWithin } from '#src/db/migrations/schema-version.ts';
import { ConnectionPool } from '#src/db/pool/pool.ts';
import { createTestDatabase } from '#test/support/postgres.ts';
import { aDatabaseConfig } from '#test/support/test-database-config.ts';

describe('isSchemaUpToDateWithin', () => {
  it('waits for a database that is busy', async () => {
    await using database = await createTestDatabase();
    const db = createDatabase(new ConnectionPool(database.url, aDatabaseConfig({ poolMax: 1, acquireTimeoutMs: 20 })));
    try {
      // Opens the only connection, which may take longer than a caller waits for one.
      expect(await isSchemaUpToDateWithin(db, 30_000)).toBe(true);
      // It is held until a waiter has given up once.
      const held = db.connection().execute(async () => {
        const refused = db.connection().execute(async () => {});
        await expect(refused).rejects.toThrow(DatabaseUnavailableError);
      });
      expect(await isSchemaUpToDateWithin(db, 30_000)).toBe(true);
      await held;
    } finally {
      await db.destroy();
    }
  });

  it('gives up on one that is not there', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    server.close();
    const url = `postgres://nobody@127.0.0.1:${port}/none`;
    const db = createDatabase(new ConnectionPool(url, aDatabaseConfig()));
    await expect(isSchemaUpToDateWithin(db, 50)).rejects.toThrow(DatabaseUnavailableError);
    await db.destroy();
  });
});
