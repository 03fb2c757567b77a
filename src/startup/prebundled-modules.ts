import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';

/**
 * Takes libraries from node_modules/.prebundled, a few files that scripts/prebundle.ts made of some 700, instead of from their own folders.
 * To find and link so many modules is most of the time of a start from the source.
 *
 * Does the same for node:http, of which it leaves out what loads slowly and the service does not use.
 *
 * @param folder where they are. Nothing is taken from it when it isn't there, or was made of other versions than are installed now.
 */
export function usePrebundledModules(folder: URL = FOLDER): void {
  const manifest = readManifest(folder);
  if (manifest === undefined) return;
  const http = httpWithoutWebSocket();
  registerHooks({
    resolve(specifier, context, nextResolve) {
      const { parentURL } = context;
      // Parts of prebundled files: where they are needs no look at the disk.
      if (specifier.startsWith('./') && parentURL?.startsWith(folder.href)) {
        return { url: new URL(specifier, parentURL).href, format: 'module', shortCircuit: true };
      }
      if (specifier === 'node:http') return { url: http, format: 'module', shortCircuit: true };
      const file = manifest.modules[specifier];
      // A library's own imports go to what its own package names, which may be another version.
      if (file === undefined || parentURL?.includes('/node_modules/')) return nextResolve(specifier, context);
      return { url: new URL(file, folder).href, format: 'module', shortCircuit: true };
    },
  });
}

/**
 * The module node:http but for what Node loads when it is asked for, which importing node:http does: all of a WebSocket and
 * fetch client, 30 ms of a start.
 */
function httpWithoutWebSocket(): string {
  const { WebSocket, CloseEvent, MessageEvent, ...properties } = Object.getOwnPropertyDescriptors(
    process.getBuiltinModule('node:http'),
  );
  const names = Object.keys(properties).join(', ');
  const source = `const http = process.getBuiltinModule('node:http'); export default http; export const { ${names} } = http;`;
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

function readManifest(folder: URL): Manifest | undefined {
  try {
    const manifest: Manifest = readJson(new URL('manifest.json', folder));
    for (const [name, version] of Object.entries(manifest.versions)) {
      if (readJson(new URL(`../${name}/package.json`, folder)).version !== version) return undefined;
    }
    return manifest;
  } catch {
    return undefined;
  }
}

function readJson(url: URL) {
  return JSON.parse(readFileSync(url, 'utf8'));
}

const FOLDER = new URL('../../node_modules/.prebundled/', import.meta.url);

interface Manifest {
  /** Package name → the version that was prebundled. */
  readonly versions: Readonly<Record<string, string>>;
  /** What is imported, such as `kysely/migration` → its file. */
  readonly modules: Readonly<Record<string, string>>;
}
