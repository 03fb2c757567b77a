import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/**
 * The path of a program that tests need. Where it is missing it is installed with apt-get, as root on Debian and its kin.
 *
 * @param names of the package: Debian's, and Homebrew's for the error where they differ.
 * @throws where there is none and it can't be installed, with what to install.
 */
export async function installedProgram(
  program: string,
  { debian = program, brew = debian }: { readonly debian?: string; readonly brew?: string } = {},
): Promise<string> {
  const found = await find(program);
  if (found !== undefined) return found;
  const apt = ['-o', 'DPkg::Lock::Timeout=120', '-y', '--no-install-recommends'];
  try {
    if (process.getuid?.() !== 0) throw new Error('only root can install it');
    await run('apt-get', ['update', '-q']);
    // RUNLEVEL=1: policy scripts of the package start no server of the system.
    await run('env', ['RUNLEVEL=1', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', 'install', ...apt, debian]);
  } catch (cause) {
    throw new Error(
      `the tests need ${program}, and it can't be installed here (${cause}); install it with: apt-get install ${debian}, or brew install ${brew}`,
      { cause },
    );
  }
  const installed = await find(program);
  if (installed === undefined) throw new Error(`${debian} was installed, and ${program} is not there`);
  return installed;
}

/** Also where an ordinary user's PATH does not lead. */
async function find(program: string): Promise<string | undefined> {
  const { stdout } = await run('/bin/sh', ['-c', `PATH="$PATH:/usr/sbin" command -v ${program} || true`]);
  return stdout.trim() || undefined;
}

const run = promisify(execFile);
