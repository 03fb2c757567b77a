import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import packageJson from '#package.json' with { type: 'json' };
import { listSettings } from '#src/config/settings.ts';
import { type CommandEnd, startCommand } from '#test/support/command-process.ts';
import { createTestDatabase } from '#test/support/postgres.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

const PAGE_TOKEN_SECRET = 'x'.repeat(32);

describe('The command line', () => {
  it.each(['--help', '-h', 'help'])('%s lists every command, and every setting with its default', async word => {
    const { exitCode, stdout } = await runCommand([word]);
    expect(exitCode).toBe(0);
    for (const command of ['serve', 'migrate', 'import', 'export']) expect(stdout).toMatch(`\n  ${command} `);
    for (const setting of listSettings()) {
      const line = setting.default === '' ? setting.name : `${setting.name}=${setting.default}`;
      expect(stdout).toContain(`\n  ${line}\n`);
    }
  });

  it('shows the help, and fails, where no command is given', async () => {
    expect(await runCommand([])).toMatchObject({ exitCode: 2, stdout: expect.stringContaining('Usage: ') });
  });

  it.each(['start', '__proto__', '--port'])('refuses the command %s, and names those that there are', async name => {
    expect(await runCommand([name])).toEqual({
      exitCode: 2,
      stdout: '',
      stderr: `There is no command '${name}'. Commands: serve, migrate, import, export; more with --help.\n`,
    });
  });

  it.each(['--version', '-v', 'version'])('%s prints the version, whatever the settings are', async word => {
    const { exitCode, stdout, stderr } = await runCommand([word], { PORT: 'http' });
    expect([exitCode, stdout, stderr]).toEqual([0, `postservice ${packageJson.version}\n`, '']);
  });

  it.each(['serve', 'migrate'])('refuses an argument to %s, which takes settings', async name => {
    const { exitCode, stderr } = await runCommand([name, '--port=80']);
    expect([exitCode, stderr]).toEqual([
      2,
      `PostService cannot ${name}: ${name} takes no arguments, only settings: see --help\n`,
    ]);
  });

  it.each(['serve', 'migrate'])('shows the help for %s --help', async name => {
    const { exitCode, stdout } = await runCommand([name, '--help'], { PORT: 'http' });
    expect([exitCode, stdout]).toEqual([0, expect.stringContaining('Usage: ')]);
  });

  it.each([
    ['no command', []],
    ['an unknown command', ['start']],
    ['an unknown option instead of a command', ['--port=80']],
    ['an argument of serve', ['serve', 'now']],
    ['an option of serve', ['serve', '--help', '--port=80']],
    ['an argument of migrate', ['migrate', 'up']],
    ['an option of migrate', ['migrate', '--dry-run']],
    ...['import', 'export'].flatMap(name => [
      [`${name} without its folder`, [name]] as const,
      [`${name} of an empty name`, [name, '']] as const,
      [`${name} of two folders`, [name, 'a', 'b']] as const,
      [`an unknown option of ${name}`, [name, 'a', '--fast']] as const,
      [`an option of ${name} without its value`, [name, 'a', '--url']] as const,
      [`a bad URL of ${name}`, [name, 'a', '--url', 'ftp://a']] as const,
    ]),
    ['a bad number of import', ['import', 'a', '--concurrency', '0']],
  ] as const)('exits with 2 for %s, whatever the settings are', async (_, args) => {
    const { exitCode, stdout, stderr } = await runCommand(args, { PORT: 'http' });
    expect(exitCode).toBe(2);
    expect(stderr + stdout).toContain('--help');
    expect(stderr + stdout).not.toContain('bad settings');
  });

  it.each([['serve'], ['migrate'], ['import', 'posts'], ['export', 'posts']])(
    'names each bad setting of %s',
    async (name, ...rest) => {
      const { exitCode, stdout, stderr } = await runCommand([name, ...rest], { PORT: 'http', LOG_LEVEL: 'loud' });
      expect([exitCode, stdout]).toEqual([1, '']);
      expect(stderr).toMatch(
        new RegExp(`^PostService cannot ${name}: bad settings:\n {2}PORT: .+\n {2}LOG_LEVEL: .+\n$`),
      );
    },
  );

  it('takes settings from a file .env, unless the environment has them', async () => {
    await using folder = await makeTemporaryFolder();
    await writeFile(join(folder.path, '.env'), 'LOG_LEVEL=loud\nLOG_FORMAT=none\n');
    const { stderr } = await runCommand(['serve'], { LOG_LEVEL: 'info' }, folder.path);
    expect(stderr).toMatch(/^PostService cannot serve: bad settings:\n {2}LOG_FORMAT: .+\n$/);
  });

  it.each([
    ['serve', 'the database cannot be reached'],
    ['migrate', ''],
  ])('says in a line that %s finds no database', async (name, reason) => {
    await using taken = await takePort();
    // Closed again, so that nobody answers there.
    await taken[Symbol.asyncDispose]();
    const DATABASE_URL = `postgres://user:hunter2@127.0.0.1:${taken.port}/posts`;
    const { exitCode, stdout, stderr } = await runCommand([name], { DATABASE_URL, PAGE_TOKEN_SECRET });
    expect([exitCode, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(new RegExp(`^PostService cannot ${name}: ${reason}.*ECONNREFUSED.*\n$`));
    expect(stderr).not.toContain('hunter2');
  });

  it.each(['serve', 'migrate'])('says in a line what %s has heard from each host of the database', async name => {
    await using taken = await takePort();
    await taken[Symbol.asyncDispose]();
    const DATABASE_URL = `postgres://user:hunter2@127.0.0.1:${taken.port},[::1]:${taken.port}/posts`;
    const { exitCode, stdout, stderr } = await runCommand([name], { DATABASE_URL, PAGE_TOKEN_SECRET });
    expect([exitCode, stdout]).toEqual([1, '']);
    const hosts = [`127.0.0.1:${taken.port}`, `\\[::1\\]:${taken.port}`].map(host => `${host}: .+`).join('; ');
    expect(stderr).toMatch(
      new RegExp(`^PostService cannot ${name}: no host of the database is read-write now; .+: ${hosts}\n$`),
    );
    expect(stderr).not.toContain('hunter2');
  });

  it.each(['PORT', 'ADMIN_PORT'])('says in a line that %s is taken by another program', async name => {
    await using database = await createTestDatabase();
    await using taken = await takePort();
    const { exitCode, stdout, stderr } = await runCommand(['serve'], {
      DATABASE_URL: database.url,
      PAGE_TOKEN_SECRET,
      [name]: String(taken.port),
    });
    expect([exitCode, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/^PostService cannot serve: .+\n$/);
    expect(stderr).toContain(`127.0.0.1:${taken.port}`);
    expect(stderr).toContain(name);
  });

  it('migrates a database that serve would not start on', async () => {
    await using database = await createTestDatabase({ migrated: false });
    await using folder = await makeTemporaryFolder();
    const env = { DATABASE_URL: database.url, PAGE_TOKEN_SECRET };
    expect(await runCommand(['serve'], env, folder.path)).toMatchObject({
      exitCode: 1,
      stderr: expect.stringMatching(/^PostService cannot serve: .*run npx node src\/main.ts migrate first\n$/),
    });

    expect(migrationsOf(await runCommand(['migrate'], env, folder.path)).length).toBeGreaterThan(0);
    expect(migrationsOf(await runCommand(['migrate'], env, folder.path))).toEqual([]);
    await using service = startCommand(['serve'], env, { cwd: folder.path });
    await service.ready();
  });

  it('says whether migrate had anything to do', async () => {
    await using database = await createTestDatabase({ migrated: false });
    const env = { DATABASE_URL: database.url, PAGE_TOKEN_SECRET };
    expect((await runCommand(['migrate'], env)).stdout).not.toContain('up to date');
    expect((await runCommand(['migrate'], env)).stdout).toContain('the schema was up to date');
  });

  it('does not migrate where no DATABASE_URL says which database, and touches nothing', async () => {
    await using folder = await makeTemporaryFolder();
    const { exitCode, stdout, stderr } = await runCommand(['migrate'], {}, folder.path);
    expect([exitCode, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(
      /^PostService cannot migrate: bad settings:\n {2}DATABASE_URL: is required to migrate\. .+\n$/,
    );
    expect(await readdir(folder.path)).toEqual([]);
  });
});

/** Runs a command to its end. */
async function runCommand(
  args: readonly string[],
  env: Record<string, string> = {},
  cwd?: string,
): Promise<CommandEnd> {
  await using folder = await makeTemporaryFolder();
  await using command = startCommand(args, env, { cwd: cwd ?? folder.path });
  return await command.ended;
}

function migrationsOf({ exitCode, stdout, stderr }: CommandEnd): unknown[] {
  expect([exitCode, stderr]).toEqual([0, '']);
  const events = stdout.split('\n').filter(line => line !== '');
  return events.map(line => JSON.parse(line)).find(({ event }) => event === 'migrated')?.migrations;
}

/** A port that another program listens on. */
async function takePort(): Promise<{ readonly port: number } & AsyncDisposable> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as { port: number }).port,
    [Symbol.asyncDispose]: async () => {
      if (!server.listening) return;
      server.close();
      await once(server, 'close');
    },
  };
}
