/**
 * Shows that a change of words is one of words alone: compares every file of `src`, `client`, `bench` and `scripts` with a commit, without comments and
 * without what stands in strings. Prints the files that differ, and exits with 1 then.
 *
 *     node scripts/same-code.ts COMMIT
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { transformSync } from 'esbuild';

/** A string in any quotes. A template counts as one string, with its values. */
const STRING = /"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`/g;
const ROOT = join(import.meta.dirname, '..');
const [commit = 'HEAD'] = process.argv.slice(2);

const names = git(
  'diff',
  '--name-only',
  '--diff-filter=AMD',
  '--no-renames',
  commit,
  '--',
  'src',
  'client',
  'bench',
  'scripts',
);
const different = names
  .split('\n')
  .filter(name => name.endsWith('.ts'))
  .filter(name => codeOf(before(name)) !== codeOf(after(name)));
for (const name of different) console.log(`${name}: its code differs, not only its comments and strings`);
process.exitCode = different.length === 0 ? 0 : 1;

/** Its code on one line, with every string empty. */
function codeOf(source: string): string {
  const { code } = transformSync(source, { loader: 'ts', minifyWhitespace: true });
  return code.replaceAll(STRING, "''").replaceAll(/'' ?\+ ?''/g, "''");
}

function before(name: string): string {
  try {
    return git('show', `${commit}:${name}`);
  } catch {
    return '';
  }
}

function after(name: string): string {
  try {
    return readFileSync(join(ROOT, name), 'utf8');
  } catch {
    return '';
  }
}

function git(...args: string[]): string {
  return execFileSync('git', args, {
    cwd: ROOT,
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
}
