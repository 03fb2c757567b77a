import { ConnectError } from '@connectrpc/connect';
import { PostFileError } from '#src/cli/front-matter.ts';
import { describeCallError } from '#src/cli/service-calls.ts';

/** A file that was not imported, or not exported. */
export interface FileFailure {
  /** Its path relative to the folder, or for an export the post's slug. */
  readonly file: string;
  /** Why, for people. */
  readonly reason: string;
}

/**
 * Why one file failed: a fault of the file, of the system, or a refusal of the service.
 *
 * @throws the error itself if it is a fault of this program.
 */
export function fileFailureReason(error: unknown): string {
  if (error instanceof PostFileError) return error.message;
  if (error instanceof ConnectError) return `service: ${describeCallError(error)}`;
  if (isSystemError(error)) return `file: ${systemErrorReason(error)}`;
  throw error;
}

/** Whether the operating system refused something. */
export function isSystemError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}

/** What people call an error of the system, of those that are met with files; another one's own message. */
export function systemErrorReason({ code = '', message }: NodeJS.ErrnoException): string {
  return SYSTEM_ERRORS[code] ?? message;
}

const SYSTEM_ERRORS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  ENOENT: 'no such file or folder',
  ENOTDIR: 'must be a folder',
  EISDIR: 'is a folder',
  EEXIST: 'exists and is not a folder',
  ELOOP: 'is a link that leads in a circle',
  ENOSPC: 'no space left on the disk',
  EROFS: 'the disk is read-only',
  EMFILE: 'too many open files',
  ENAMETOOLONG: 'the name is too long',
};
