import { existsSync } from 'node:fs';
import module from 'node:module';

// Before the other imports, so that Node reuses the code that it compiled for an earlier start.
module.enableCompileCache();

const { runCommand } = await import('#src/command-line.ts');

// A copy of .env.example. It does not override variables that are already set.
if (existsSync('.env')) process.loadEnvFile('.env');

// The first signal asks the command to end. The second one ends the process at once.
const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (stop.signal.aborted) process.exit(1);
    stop.abort(signal);
  });
}

process.exitCode = await runCommand(process.argv.slice(2), {
  // biome-ignore lint/style/noProcessEnv: the only place that reads the environment.
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: stop.signal,
});
// Do not wait for handles that are still open.
process.exit();
