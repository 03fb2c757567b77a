import { execFile } from 'node:child_process';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const MANIFEST = join(ROOT, 'node_modules/.prebundled/manifest.json');

describe('Prebundled modules', () => {
  it('have every name that the libraries export', async () => {
    const { modules } = JSON.parse(await readFile(MANIFEST, 'utf8'));
    const specifiers = Object.keys(modules);
    const [own, prebundled] = await Promise.all([namesOf(specifiers, ''), namesOf(specifiers, USE)]);
    expect(specifiers).toContain('@bufbuild/protobuf/wkt');
    expect(prebundled).toEqual(own);
  });

  it('are taken in place of the libraries', async () => {
    expect(await run(`${USE} console.log(import.meta.resolve('kysely'))`)).toMatch(/\/\.prebundled\/kysely\.js$/);
  });

  it('are left where they were made of another version than is installed', async () => {
    await using folder = await makeTemporaryFolder();
    const place = join(folder.path, 'node_modules/.prebundled');
    await mkdir(join(folder.path, 'node_modules/kysely'), { recursive: true });
    await mkdir(place);
    await writeFile(join(folder.path, 'node_modules/kysely/package.json'), '{ "version": "2.0.0" }');
    const manifest = { versions: { kysely: '1.0.0' }, modules: { kysely: 'kysely.js' } };
    await writeFile(join(place, 'manifest.json'), JSON.stringify(manifest));
    const use = USE.replace('()', `(new URL('${pathToFileURL(place)}/'))`);
    expect(await run(`${use} console.log(import.meta.resolve('kysely'))`)).toMatch(/\/node_modules\/kysely\/dist\//);
  });
});

const USE = `import { usePrebundledModules } from '#src/startup/prebundled-modules.ts'; usePrebundledModules();`;

async function namesOf(specifiers: readonly string[], begin: string): Promise<Record<string, string[]>> {
  const text = `${begin} const names = {};
    for (const specifier of ${JSON.stringify(specifiers)}) names[specifier] = Object.keys(await import(specifier)).sort();
    console.log(JSON.stringify(names))`;
  const names: Record<string, string[]> = JSON.parse(await run(text));
  // Node's own names for a CommonJS module as a whole.
  const extra = new Set(['default', 'module.exports', '__esModule']);
  return Object.fromEntries(Object.entries(names).map(([name, all]) => [name, all.filter(one => !extra.has(one))]));
}

async function run(text: string): Promise<string> {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', text], { cwd: ROOT });
  return stdout.trim();
}
