import { existsSync } from 'node:fs';
import module from 'node:module';

// Before the rest is imported, so that Node takes what it compiled the last time.
module.enableCompileCache();

const { runCommand } = await import('#src/command-line.ts');

// The file that .env.example is made to be copied to. Variables that are set win.
if (existsSync('.env')) process.loadEnvFile('.env');

// The first signal asks the command to end; the second one does not wait for that.
const stop = new AbortController();
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (stop.signal.aborted) process.exit(1);
    stop.abort(signal);
  });
}

process.exitCode = await runCommand(process.argv.slice(2), {
  // biome-ignore lint/style/noProcessEnv: the one place that reads the environment.
  env: process.env,
  stdout: process.stdout,
  stderr: process.stderr,
  signal: stop.signal,
});
// What is still open belongs to nobody any more.
process.exit();
