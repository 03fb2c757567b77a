import type { Writable } from 'node:stream';
import type { ProgressStream } from '#src/cli/progress-bar.ts';

/** The parts of the process that a command uses. */
export interface CommandIo {
  /** For results. */
  readonly stdout: Pick<Writable, 'write'>;
  /** For progress and errors. */
  readonly stderr: ProgressStream;
  /** Where the service is, unless --url says otherwise. */
  readonly defaultUrl: string;
  /** Ends the command, as for Ctrl-C. */
  readonly signal: AbortSignal;
}

/** A command's exit codes, as shells and `make` understand them. */
export const EXIT = { ok: 0, failed: 1, usage: 2, interrupted: 130 } as const;

/** The command line is not valid; the message says why. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

/** Reads arguments with Node's parseArgs. @throws UsageError for what it refuses. */
export function readArguments<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof TypeError) throw new UsageError(error.message);
    throw error;
  }
}

/** The one folder that a command works on. @throws UsageError */
export function oneFolder(positionals: readonly string[]): string {
  const [dir, ...more] = positionals;
  if (!dir) throw new UsageError('name a folder');
  if (more.length > 0) throw new UsageError(`one folder only, not also ${more.join(' ')}`);
  return dir;
}

/** The service's URL. @throws UsageError where it must be http or https. */
export function serviceUrl(text: string): string {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text;
  throw new UsageError(`--url: "${text}" must be an http or https URL, such as http://127.0.0.1:8080`);
}
