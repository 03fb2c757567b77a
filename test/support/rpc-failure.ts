import { ConnectError } from '@connectrpc/connect';
import { codeToString } from '@connectrpc/connect/protocol-connect';
import { errorInfo, fieldViolations, resources, retryDelayMs } from '#client/errors.ts';

/** What a client learns from a failed call. */
export interface RpcFailure {
  /** As Connect spells it, such as `not_found`. */
  readonly code: string;
  readonly message: string;
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** The paths of the BadRequest, in its order. */
  readonly fields: readonly string[];
  /** The names of the posts that ResourceInfos are about. */
  readonly posts: readonly string[];
  /** Of the RetryInfo, in milliseconds; undefined: none. */
  readonly retryDelayMs: number | undefined;
}

/**
 * How a call failed.
 *
 * @throws where it did not, and where its error lacks what every error of the service has: one ErrorInfo, with our domain
 *   and a reason in UPPER_SNAKE.
 */
export async function failureOf(call: Promise<unknown>): Promise<RpcFailure> {
  const error = await call.then(
    () => {
      throw new Error('the call succeeded');
    },
    (reason: unknown) => reason,
  );
  if (!(error instanceof ConnectError)) throw error;
  const infos = error.details.filter(detail => 'type' in detail && detail.type === 'google.rpc.ErrorInfo');
  const info = errorInfo(error);
  if (infos.length !== 1 || info?.domain !== 'blog.v1.PostService' || !/^[A-Z]+(_[A-Z]+)*$/.test(info.reason)) {
    throw new Error(`an error without its one ErrorInfo: ${error.message} ${JSON.stringify(error.details)}`);
  }
  return {
    code: codeToString(error.code),
    message: error.rawMessage,
    reason: info.reason,
    metadata: info.metadata,
    fields: fieldViolations(error).map(violation => violation.field),
    posts: resources(error).map(resource => resource.name),
    retryDelayMs: retryDelayMs(error),
  };
}
