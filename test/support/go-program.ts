import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** A program in Go: a public one, pinned, or the one of a folder of test/fixtures. */
export type GoProgram = { readonly install: string } | { readonly folder: string };

/**
 * The path of a program in Go, which is built once and then kept outside of the checkout; undefined where Go is not installed, or too old,
 * which a line says.
 *
 * @throws where it can't be built.
 */
export async function goProgram(program: GoProgram): Promise<string | undefined> {
  const source = 'install' in program ? program.install : program.folder;
  const version = await run('go', ['env', 'GOVERSION']).catch(() => undefined);
  if (version === undefined) {
    console.log(`skipped: Go is not installed, which ${source} takes`);
    return undefined;
  }
  const cache = join(tmpdir(), 'postservice-go', version.stdout.trim());
  await mkdir(cache, { recursive: true });
  // Nothing but what is here is to build it; the checkout is none of its business.
  const options = { env: { ...inherited(), GOBIN: cache, GOTOOLCHAIN: 'local', GOFLAGS: '-buildvcs=false' } };
  const isPublic = 'install' in program;
  const path = join(cache, isPublic ? nameOf(program.install) : `fixture-${program.folder}`);
  const folder = join(import.meta.dirname, '..', 'fixtures', isPublic ? '' : program.folder, 'go');
  try {
    await run('go', isPublic ? ['install', program.install] : ['build', '-C', folder, '-o', path, '.'], options);
  } catch (error) {
    const [needed] = /requires go >= [\d.]+/.exec(String((error as { stderr?: string }).stderr)) ?? [];
    if (needed === undefined) throw error;
    console.log(`skipped: ${source} ${needed}, and this is ${version.stdout.trim()}`);
    return undefined;
  }
  return path;
}

/** `github.com/a/b/cmd/c@v1` installs `c`. */
function nameOf(install: string): string {
  return install.replace(/@.*$/, '').replace(/^.*\//, '');
}

function inherited(): NodeJS.ProcessEnv {
  // biome-ignore lint/style/noProcessEnv: what Go needs to find its caches and modules, and none of our settings.
  return process.env;
}

const run = promisify(execFile);
