import { execFile } from 'node:child_process';
import { appendFile, cp, readFile, rm, stat, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { ROOT } from '#test/support/readme.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

describe('npm run bundle', () => {
  it('builds the service when there is no bundle, as after npm ci --ignore-scripts', async () => {
    await using project = await copyProject();
    expect(await project.bundle()).toMatch(/^dist: \d+ KiB\n$/);
    expect(await project.version()).toBe('postservice 0.1.0\n');
  });

  it('leaves a bundle of the same sources alone', async () => {
    await using project = await copyProject();
    await project.bundle();
    const { ino, mtimeMs } = await stat(project.main);
    expect(await project.bundle()).toBe('');
    expect(await stat(project.main)).toMatchObject({ ino, mtimeMs });
  });

  it.each(['src/main.ts', 'package.json'])('builds again after an edit of %s', async file => {
    await using project = await copyProject();
    await project.bundle();
    await appendFile(join(project.path, file), '\n');
    expect(await project.bundle()).toMatch(/^dist: /);
  });

  it('says what to do when the packages are missing', async () => {
    await using project = await copyProject();
    await rm(join(project.path, 'node_modules'));
    const failure = await project.bundle().catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: 1, stderr: 'esbuild is not installed: run "npm ci" first\n' });
  });

  it('runs before npm start, and after npm ci', async () => {
    const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8'));
    expect([scripts.prestart, scripts.postinstall]).toEqual([scripts.bundle, scripts.bundle]);
  });
});

/** What the bundle is made of, in a folder of its own. */
async function copyProject() {
  const folder = await makeTemporaryFolder();
  for (const name of ['src', 'gen', 'client/src', 'scripts', 'package.json'])
    await cp(join(ROOT, name), join(folder.path, name), { recursive: true });
  await symlink(join(ROOT, 'node_modules'), join(folder.path, 'node_modules'));
  const main = join(folder.path, 'dist/main.js');
  const run = async (...args: string[]) => (await promisify(execFile)(process.execPath, args)).stdout;
  return {
    path: folder.path,
    main,
    bundle: () => run(join(folder.path, 'scripts/bundle.js')),
    version: () => run(main, '--version'),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}
