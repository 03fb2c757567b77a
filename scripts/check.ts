import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/**
 * Everything that can be said of the project without running it. Goes on after a failure, so that all of them are told,
 * prints what a step said only where it failed, and exits with 1 then.
 *
 * The last step compares what is generated with what was there before. A change of the contract or of the client must be committed together
 * with what is made from it. No other step may leave something behind.
 */
const STEPS = [
  ['generate', 'npm run --silent generate'],
  ['format, lint, import direction, cycles', 'biome check --error-on-warnings'],
  ['promises', 'oxlint --deny-warnings'],
  ['types', 'tsc -p .'],
  ['contract: lint, format, breaking changes', 'npm run --silent check:proto'],
  ['client package', 'npm run --silent check:client'],
  ['sentences of at most 35 words', 'node scripts/long-sentences.ts'],
] as const;

const root = fileURLToPath(new URL('..', import.meta.url));

const before = await generatedFiles();
const failed: string[] = [];
for (const [name, command] of STEPS) await step(name, () => shell(command));
await step('generated files are those that were committed', async () =>
  describeChanges(before, await generatedFiles()),
);
if (failed.length > 0) console.log(`\nfailed: ${failed.join('; ')}`);
process.exitCode = failed.length === 0 ? 0 : 1;

/** @param run gives what is wrong; empty: nothing. */
async function step(name: string, run: () => Promise<string>): Promise<void> {
  const startedAt = performance.now();
  const problem = await run();
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  console.log(`${problem === '' ? 'ok  ' : 'FAIL'} ${seconds.padStart(5)} s  ${name}`);
  if (problem === '') return;
  failed.push(name);
  console.log(problem.replaceAll(/^/gm, '     '));
}

function shell(command: string): Promise<string> {
  return new Promise(resolve => {
    // npm has put node_modules/.bin on the PATH.
    execFile('/bin/sh', ['-c', command], { cwd: root, maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => {
      resolve(error === null ? '' : `${stdout}${stderr}`.trim() || error.message);
    });
  });
}

/** What `git status` says of the places that steps write to, and what is in the files that they generate. */
async function generatedFiles(): Promise<Map<string, string>> {
  const contents = new Map([['git status', await gitStatus()]]);
  for (const folder of ['client', 'conformance/gen']) {
    for (const entry of await readdir(join(root, folder), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const path = join(entry.parentPath, entry.name);
      contents.set(path.slice(root.length), await readFile(path, 'utf8'));
    }
  }
  for (const path of ['README.md', '.env.example']) contents.set(path, await readFile(join(root, path), 'utf8'));
  return contents;
}

function gitStatus(): Promise<string> {
  return new Promise((resolve, reject) => {
    const places = [
      'conformance/gen',
      'README.md',
      '.env.example',
      'baseline',
      'vendor',
      'proto',
      'client',
      'package.json',
      'package-lock.json',
    ];
    execFile('git', ['status', '--porcelain', '--', ...places], { cwd: root }, (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    );
  });
}

function describeChanges(was: ReadonlyMap<string, string>, is: ReadonlyMap<string, string>): string {
  const names = [...new Set([...was.keys(), ...is.keys()])].filter(name => was.get(name) !== is.get(name));
  return names.length === 0
    ? ''
    : `were not up to date, and are now; look at them and commit them:\n${names.join('\n')}`;
}
