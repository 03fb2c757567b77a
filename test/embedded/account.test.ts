import { chown } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { chooseAccount } from '#src/embedded/account.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

describe('chooseAccount', () => {
  const isRoot = process.getuid?.() === 0;

  it('takes the owner of the data that are there, as root', async ({ skip }) => {
    skip(!isRoot, 'needs root: only root runs Postgres as another user');
    await using folder = await makeTemporaryFolder();
    await chown(folder.path, 1, 1);
    expect(await chooseAccount(folder.path)).toEqual({ name: 'daemon', uid: 1, gid: 1 });
  });

  it('takes postgres or nobody where there are no data, and leaves an ordinary user what it is', async () => {
    const account = await chooseAccount('/nonexistent');
    if (isRoot) expect(account?.name).toMatch(/^(_?postgres|nobody)$/);
    else expect(account).toBeUndefined();
  });
});
