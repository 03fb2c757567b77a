import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/postgres-of-the-run.ts', 'test/support/programs-of-the-run.ts'],
    pool: 'forks',
    // One more than the cores of a small machine: tests wait for servers for much of their time.
    maxWorkers: 3,
    // Only what hangs reaches these: time decides no test, and a shared machine is slow at times.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // A run without tests is a mistake, and `only` left in a file would skip the others silently.
    passWithNoTests: false,
    allowOnly: false,
  },
});
