import { chmod, chown, stat } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { describe, expect, it } from 'vitest';
import { canEnter, chooseAccount } from '#src/embedded/account.ts';
import { startServiceProcess } from '#test/embedded/service-process.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

describe('startEmbeddedPostgres, as an ordinary user', () => {
  it('runs Postgres as that user, in a data folder that nobody else can enter', async ({ skip }) => {
    await using folder = await makeTemporaryFolder();
    // Root starts the service as another user; an ordinary user as itself.
    const account = await chooseAccount('/nonexistent');
    if (account !== undefined) {
      const reaches = await canEnter(account, import.meta.dirname);
      skip(!reaches, `user ${account.name} can't reach this checkout; run the tests as an ordinary user for this one`);
      await chown(folder.path, account.uid, account.gid);
    }
    await chmod(folder.path, 0o700);
    await using service = startServiceProcess({ dataDir: folder.path, settings: { fsync: 'off' } }, { account });
    const { url, location, error } = await service.outcome;
    expect(error).toBeUndefined();
    expect(location).toBe(join(folder.path, 'postgres'));
    expect((await stat(join(String(location), 'data'))).uid).toBe(account?.uid ?? process.getuid?.());
    const client = new pg.Client(url);
    client.on('error', () => {});
    await client.connect();
    expect((await client.query('select 1 as alive')).rows).toEqual([{ alive: 1 }]);
    await client.end();
  });
});
