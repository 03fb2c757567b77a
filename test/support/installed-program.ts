import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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
  try {
    if (process.getuid?.() !== 0) throw new Error('only root can install it');
    // One process at a time: apt-get update does not wait for another's lock on its lists.
    await run('flock', [join(tmpdir(), 'postservice-test-apt.lock'), '/bin/sh', '-ec', INSTALL, 'sh', debian]);
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

/** RUNLEVEL=1: policy scripts of the package start no server of the system. */
const INSTALL = `
apt-get update -q
RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 -y --no-install-recommends install "$1"`;

/** Also where an ordinary user's PATH does not lead. */
async function find(program: string): Promise<string | undefined> {
  const { stdout } = await run('/bin/sh', ['-c', `PATH="$PATH:/usr/sbin" command -v ${program} || true`]);
  return stdout.trim() || undefined;
}

const run = promisify(execFile);
