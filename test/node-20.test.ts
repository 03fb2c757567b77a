import { execFile } from 'node:child_process';
import { cp } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, it } from 'vitest';
import packageJson from '#package.json' with { type: 'json' };
import { installedNode20 } from '#test/support/node-20.ts';
import { ROOT } from '#test/support/readme.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

/** As a newcomer has it: the project's own Node is not there before npm ci. */
describe('With Node 20', () => {
  let node: string;
  let missing: string | undefined;
  beforeAll(async () => {
    try {
      node = await installedNode20();
    } catch (error) {
      missing = `skipped, since there is no Node 20 and npm can't install one: ${error}`;
      console.log(missing);
    }
  });

  it('npm ci warns of no engine that this project asks for', async ({ skip }) => {
    skip(missing !== undefined, missing);
    await using folder = await makeTemporaryFolder();
    for (const file of ['package.json', 'package-lock.json']) await cp(join(ROOT, file), join(folder.path, file));
    // npm test may be silent itself, and tells so whom it starts.
    const args = ['ci', '--dry-run', '--ignore-scripts', '--no-audit', '--loglevel=notice'];
    const { stdout, stderr } = await run('npm', args, folder.path);
    expect(stdout).toMatch(/^added \d+ packages/m);
    expect(stderr).not.toContain(`${packageJson.name}@`);
  });

  it('npm start says in a line what is missing where npm ci was forgotten', async ({ skip }) => {
    skip(missing !== undefined, missing);
    await using folder = await makeTemporaryFolder();
    for (const file of ['package.json', 'scripts', 'src'])
      await cp(join(ROOT, file), join(folder.path, file), { recursive: true });
    const end = await run('npm', ['start', '--silent'], folder.path).catch((error: unknown) => error);
    expect(end).toMatchObject({
      code: 1,
      stdout: '',
      stderr: expect.stringMatching(
        /^PostService needs Node 24 or newer, and this is v20\..+ "npm ci" installs one; .+\n$/,
      ),
    });
  });

  function run(program: string, args: readonly string[], cwd: string) {
    // biome-ignore lint/style/noProcessEnv: npm and its set-up are those of whoever runs the tests.
    const inherited = process.env;
    const folders = (inherited.PATH ?? '').split(delimiter).filter(folder => !folder.includes('node_modules'));
    return promisify(execFile)(program, args, {
      cwd,
      env: { ...inherited, PATH: [dirname(node), ...folders].join(delimiter) },
    });
  }
});
