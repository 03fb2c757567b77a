import { execFile } from 'node:child_process';
import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

describe('The structure of src/', () => {
  it('is as npm run check wants it', async () => {
    expect(await lint(ROOT, ['src'])).toEqual({ exitCode: 0, rules: [] });
  });

  it.each([
    ['a room that imports one above it', 'src/db/a.ts', "export { a } from '#src/posts/a.ts';"],
    ['a type from a room above', 'src/posts/a.ts', "import type { A } from '#src/http/a.ts';\nexport type B = A;"],
    ['a lazy import from a room above', 'src/rpc/a.ts', "export const a = await import('#src/cli/a.ts');"],
    ['a room in the way of another', 'src/http/a.ts', "export { a } from '#src/embedded/a.ts';"],
    ['a room that nobody has put in order', 'src/db/a.ts', "export { a } from '#src/new-room/a.ts';"],
    ['another room by ..', 'src/posts/a.ts', "export { a } from '../db/a.ts';"],
    ['a part that imports the composition root', 'src/rpc/a.ts', "export { a } from '#src/server.ts';"],
    ['a composition root that imports a command', 'src/server.ts', "export { a } from '#src/cli/a.ts';"],
    ['settings that import a room', 'src/config/a.ts', "export { a } from '#src/db/a.ts';"],
    ['the environment, through an import', 'src/db/a.ts', "import process from 'node:process';\nexport { process };"],
  ])('refuses %s', async (_case, file, text) => {
    await using folder = await project({ [file]: text });
    expect((await lint(folder.path)).rules).toEqual(['lint/style/noRestrictedImports']);
  });

  it('refuses process.env outside of main.ts', async () => {
    await using folder = await project({ 'src/server.ts': 'export const port = process.env.PORT;' });
    expect((await lint(folder.path)).rules).toEqual(['lint/style/noProcessEnv']);
  });

  it('refuses files that import each other, if only types', async () => {
    await using folder = await project({
      'src/db/a.ts': "import type { B } from '#src/db/b.ts';\nexport type A = B | 1;",
      'src/db/b.ts': "import type { A } from '#src/db/a.ts';\nexport type B = A | 2;",
    });
    expect((await lint(folder.path)).rules).toEqual([
      'lint/suspicious/noImportCycles',
      'lint/suspicious/noImportCycles',
    ]);
  });

  it.each([
    ['one room below another', 'src/posts/a.ts', "export { a } from '#src/db/a.ts';"],
    ['its own room', 'src/posts/a.ts', "export { a } from '#src/posts/b.ts';"],
    ['the settings', 'src/observability/a.ts', "export type { Config } from '#src/config/config.ts';"],
    ['generated code', 'src/posts/a.ts', "export { a } from '#gen/a.js';"],
  ])('allows an import of %s', async (_case, file, text) => {
    await using folder = await project({ [file]: text });
    expect(await lint(folder.path)).toEqual({ exitCode: 0, rules: [] });
  });
});

describe('Promises', () => {
  it.each([
    ['that nobody waits for', 'async function f() {}\nf();', 'no-floating-promises'],
    ['where a function without one is called', '[1].forEach(async () => {});', 'no-misused-promises'],
    ['as a condition', 'async function f() { return true; }\nif (f()) throw new Error();', 'no-misused-promises'],
  ])('%s are refused', async (_case, text, rule) => {
    await using folder = await project({ 'src/a.ts': `${text}\nexport {};` });
    const { exitCode, output } = await run(join(ROOT, 'node_modules/.bin/oxlint'), ['--deny-warnings'], folder.path);
    expect([exitCode, output]).toEqual([1, expect.stringContaining(`typescript(${rule})`)]);
  });
});

/** A folder with our rules and these files. */
async function project(files: Readonly<Record<string, string>>) {
  const folder = await makeTemporaryFolder();
  for (const name of [
    'biome.json',
    'biome.rooms.jsonc',
    '.oxlintrc.json',
    '.gitignore',
    'package.json',
    'tsconfig.json',
  ]) {
    await cp(join(ROOT, name), join(folder.path, name));
  }
  await symlink(join(ROOT, 'node_modules'), join(folder.path, 'node_modules'));
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder.path, name)), { recursive: true });
    await writeFile(join(folder.path, name), `${text}\n`);
  }
  return folder;
}

/** What biome's linter says, by the names of the rules that are broken. */
async function lint(folder: string, paths: readonly string[] = ['.']) {
  const args = ['lint', '--reporter=github', '--max-diagnostics=none', ...paths];
  const { exitCode, output } = await run(join(ROOT, 'node_modules/.bin/biome'), args, folder);
  return { exitCode, rules: [...output.matchAll(/title=(lint\/[\w/]+)/g)].map(([, rule]) => rule) };
}

function run(program: string, args: readonly string[], cwd: string): Promise<{ exitCode: number; output: string }> {
  return new Promise(resolve => {
    const child = execFile(program, args, { cwd }, (_error, stdout, stderr) => {
      resolve({ exitCode: child.exitCode ?? -1, output: stdout + stderr });
    });
  });
}
