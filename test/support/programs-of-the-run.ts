import { installedProgram } from '#test/support/installed-program.ts';

/**
 * Vitest's globalSetup: where all tests run on a fresh machine, the programs that they need are installed before any of them waits
 * for one. A single test of a developer installs only what it needs, and a program that can't be had fails or skips its tests.
 */
export async function setup(): Promise<void> {
  // biome-ignore lint/style/noProcessEnv: how a machine says that it is there to run all tests.
  if (!process.env.CI) return;
  for (const program of ['redis-server', 'nginx', 'haproxy', 'pgbouncer', 'chromium']) {
    await installedProgram(program).catch((error: Error) => console.log(error.message));
  }
}
