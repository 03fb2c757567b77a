import { execFile } from 'node:child_process';
import { access, mkdir } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

/**
 * The path of a Node 20, which users of the client may have: the first on the PATH, or the npm package `node`, which is installed
 * below node_modules/.cache and stays there.
 *
 * @throws where there is none and the registry can't be reached.
 */
export async function installedNode20(): Promise<string> {
  // biome-ignore lint/style/noProcessEnv: where the machine has its programs.
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const program = join(folder, 'node');
    if ((await versionOf(program))?.startsWith('v20.')) return program;
  }
  const program = join(CACHE, 'node_modules/.bin/node');
  if ((await versionOf(program)) === undefined) {
    await mkdir(CACHE, { recursive: true });
    await run('npm', ['install', '--prefix', CACHE, '--no-audit', '--no-fund', 'node@20.19.5']);
  }
  await access(program);
  return program;
}

async function versionOf(program: string): Promise<string | undefined> {
  return run(program, ['--version']).then(
    ({ stdout }) => stdout.trim(),
    () => undefined,
  );
}

const CACHE = fileURLToPath(new URL('../../node_modules/.cache/node-20', import.meta.url));
const run = promisify(execFile);
