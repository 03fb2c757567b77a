import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { PluginBuild } from 'esbuild';

/**
 * Writes node_modules/.prebundled: the libraries that make up most of the service, as a few files in place of some 700. A start from the
 * source then takes little more than half the time, and three quarters of the memory. npm runs it after each install;
 * src/startup/prebundled-modules.ts uses what it wrote.
 *
 * Every path that a package exports is in it, so that no module is ever loaded twice, once from either place. An install
 * without development dependencies has no bundler: there the service starts from the libraries' own files.
 */
const esbuild = await import('esbuild').catch(() => undefined);
if (esbuild === undefined) process.exit();

const PACKAGES = [
  '@bufbuild/protobuf',
  '@bufbuild/protovalidate',
  '@connectrpc/connect',
  '@connectrpc/connect-node',
  '@keyv/redis',
  'cockatiel',
  'kysely',
  'uuid',
  'zod',
];
/** Those that are CommonJS, of which a bundler keeps the default export alone: their names are exported one by one. */
const COMMONJS_PACKAGES = ['pg', 'pino', 'prom-client'];

/** For those that are CommonJS inside. A file where nothing requires is better off without. */
const REQUIRE = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);";

const root = join(import.meta.dirname, '..');
const outdir = join(root, 'node_modules/.prebundled');
const versions: Record<string, string> = {};
const modules: Record<string, string> = {};
for (const name of PACKAGES) {
  const { version, exports } = JSON.parse(await readFile(join(root, 'node_modules', name, 'package.json'), 'utf8'));
  versions[name] = version;
  for (const path of Object.keys(exports ?? { '.': undefined })) {
    if (path.includes('*') || path.endsWith('.json')) continue;
    const specifier = join(name, path);
    modules[specifier] = `${specifier.replaceAll('/', '+')}.js`;
  }
}
for (const name of COMMONJS_PACKAGES) {
  const { version } = JSON.parse(await readFile(join(root, 'node_modules', name, 'package.json'), 'utf8'));
  versions[name] = version;
  modules[name] = `${name}.js`;
}

await rm(outdir, { recursive: true, force: true });
await esbuild.build({
  entryPoints: Object.entries(modules).map(([specifier, file]) => ({
    in: specifier,
    out: file.slice(0, -'.js'.length),
  })),
  absWorkingDir: root,
  outdir,
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'node',
  target: 'node24',
  external: ['pg-native'],
  plugins: [{ name: 'named exports of CommonJS', setup: nameExports }],
  banner: { js: REQUIRE },
  logLevel: 'warning',
});
for (const file of await readdir(outdir)) {
  const code = (await readFile(join(outdir, file), 'utf8')).slice(REQUIRE.length);
  if (!/\brequire\b/.test(code)) await writeFile(join(outdir, file), code);
}
await writeFile(join(outdir, 'manifest.json'), JSON.stringify({ versions, modules }));

/** Lets an entry that is CommonJS be imported by name, as Node lets it. */
function nameExports(build: PluginBuild): void {
  build.onResolve({ filter: /./ }, ({ kind, path }) =>
    kind === 'entry-point' && COMMONJS_PACKAGES.includes(path) ? { path, namespace: 'commonjs' } : undefined,
  );
  build.onLoad({ filter: /./, namespace: 'commonjs' }, async ({ path }) => {
    const names = Object.keys(await import(path)).filter(name => /^\w+$/.test(name) && name !== 'default');
    const contents = `import module from '${path}';\nexport default module;\nexport const { ${names.join(', ')} } = module;`;
    return { contents, resolveDir: root };
  });
}
