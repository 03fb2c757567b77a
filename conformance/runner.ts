import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** The version of the official suite, whose .proto files are in vendor/. */
export const RUNNER_VERSION = 'v1.0.5';

/** Where the official runner is; undefined: it is not installed. */
export function installedRunner(): string | undefined {
  return existsSync(RUNNER) ? RUNNER : undefined;
}

/**
 * Gets the official runner with Go's own `go install`, unless it is there already: a download, and a minute of compiling.
 *
 * @throws RunnerMissingError where there is no Go, or it can't get the runner.
 */
export async function provideRunner(): Promise<string> {
  const installed = installedRunner();
  if (installed !== undefined) return installed;
  const target = `${MODULE}@${RUNNER_VERSION}`;
  console.log(`go install ${target} (once, about a minute)`);
  try {
    // biome-ignore lint/style/noProcessEnv: Go's own settings, such as GOPROXY, are the machine's.
    await promisify(execFile)('go', ['install', target], { env: { ...process.env, GOBIN: FOLDER } });
  } catch (error) {
    const { code, stderr, message } = error as { code?: unknown; stderr?: string; message: string };
    if (code === 'ENOENT') throw new RunnerMissingError('Go is not installed: see https://go.dev/doc/install');
    throw new RunnerMissingError(`go install ${target}: ${stderr?.trim() || message}`);
  }
  return RUNNER;
}

/** The suite could not be run at all; the message says why. */
export class RunnerMissingError extends Error {
  override readonly name = 'RunnerMissingError';
}

const MODULE = 'connectrpc.com/conformance/cmd/connectconformance';
/** A place that `npm ci` empties and Git does not see. */
const FOLDER = join(import.meta.dirname, '../node_modules/.cache', `connectconformance-${RUNNER_VERSION}`);
const RUNNER = join(FOLDER, process.platform === 'win32' ? 'connectconformance.exe' : 'connectconformance');
