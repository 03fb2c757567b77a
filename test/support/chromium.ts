import { type Browser, chromium } from 'playwright-core';
import { installedProgram } from '#test/support/installed-program.ts';

/**
 * Starts a headless Chromium. Where it is missing it is installed with apt-get, as root on Debian and its kin. It has a profile
 * of its own, which goes with it, and it ends when it is disposed of or when this process ends.
 *
 * @throws where there is no Chromium and it can't be installed, with what to install.
 */
export async function startChromium(): Promise<Browser> {
  const executablePath = await installedProgram('chromium');
  // The sandbox refuses to run as root, and in most containers. The only pages here are those of the tests.
  return chromium.launch({ executablePath, chromiumSandbox: false });
}

/**
 * Why tests can't have a Chromium here; undefined where they can. For `describe.skipIf` and `skip`, in place of a failure on
 * machines where it may not be installed. The reason is printed.
 */
export async function whyNoChromium(): Promise<string | undefined> {
  try {
    await installedProgram('chromium');
    return undefined;
  } catch (error) {
    const reason = `tests in Chromium are skipped: ${(error as Error).message}`;
    console.log(reason);
    return reason;
  }
}
