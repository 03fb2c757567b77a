import { Code, ConnectError } from '@connectrpc/connect';
import { errorInfo, fieldViolations, retryDelayMs } from '#client/errors.ts';

/**
 * Whether the service could not answer now, so that the same call may be made again: UNAVAILABLE, a rate limit, a passed
 * deadline, a write that was in another's way, a connection that broke.
 */
export function isTransient(error: unknown): error is ConnectError {
  if (!(error instanceof ConnectError)) return false;
  if (error.code === Code.Unavailable || error.code === Code.DeadlineExceeded) return true;
  if (error.code === Code.ResourceExhausted) return retryDelayMs(error) !== undefined;
  const reason = errorInfo(error)?.reason;
  return reason === undefined ? networkErrorCode(error) !== undefined : reason === 'WRITE_CONFLICT';
}

/** The system's code, such as ECONNREFUSED, of an error below HTTP. */
export function networkErrorCode(error: ConnectError): string | undefined {
  for (let cause: unknown = error.cause; cause instanceof Error; cause = cause.cause) {
    if ('code' in cause && typeof cause.code === 'string' && /^E[A-Z]/.test(cause.code)) return cause.code;
  }
  return undefined;
}

/** The service's answer in one line: the fields that it names, or its message. */
export function describeCallError(error: ConnectError): string {
  const message =
    fieldViolations(error)
      .map(({ field, description }) => `${field}: ${description}`)
      .join('; ') || error.rawMessage;
  return `${message} (${Code[error.code]})`;
}
