import { create } from '@bufbuild/protobuf';
import { DurationSchema } from '@bufbuild/protobuf/wkt';
import { Code, ConnectError } from '@connectrpc/connect';
import { MalformedMessageError } from '#client/strict-messages.ts';
import { BadRequestSchema, ResourceInfoSchema, RetryInfoSchema } from '#gen/google/rpc/error_details_pb.js';
import { DatabaseUnavailableError, StatementTimeoutError, WriteConflictError } from '#src/db/errors.ts';
import { PostChangesExpiredError } from '#src/posts/feed/post-change-position.ts';
import { WatcherTooSlowError } from '#src/posts/feed/post-watches.ts';
import { type FieldFault, InvalidArgumentError } from '#src/posts/invalid-argument-error.ts';
import {
  EtagMismatchError,
  PostDeletedError,
  PostNotDeletedError,
  PostNotFoundError,
  PostsTooLargeError,
  RequestIdReusedError,
  SlugTakenError,
} from '#src/posts/post-store.ts';
import { RESPONSE_MAX_BYTES, ResponseTooLargeError } from '#src/posts/response-size.ts';
import { OverloadedError } from '#src/resilience/overloaded-error.ts';
import type { ErrorReason } from '#src/rpc/error-details.ts';
import { type ErrorDetail, hasErrorInfo, NAMED_MAX, rpcError } from '#src/rpc/error-details.ts';

/**
 * Translates any error for the client. An error that is not in the table is INTERNAL, and hides its cause, which `cause` keeps for the log.
 */
export function toClientError(error: unknown): ConnectError {
  for (const [type, translate] of TABLE) if (error instanceof type) return translate(error as never);
  if (!(error instanceof ConnectError)) return internalError(error);
  // An error without an ErrorInfo comes from reading the messages of a stream, while its handler runs.
  return hasErrorInfo(error) ? error : explainFramingError(error);
}

/**
 * Gives a framing error of Connect an ErrorInfo. If it comes from reading a request, Connect's INTERNAL means a bad frame or message, so it
 * becomes INVALID_ARGUMENT. One case must stay INTERNAL: a compressed message without a named compression
 * (https://github.com/grpc/grpc/blob/master/doc/compression.md).
 */
export function explainFramingError(error: ConnectError): ConnectError {
  const { code: given, rawMessage, cause } = error;
  if (hasErrorInfo(error)) return error;
  if (cause instanceof MalformedMessageError && cause.field !== '') {
    const { field, description } = cause;
    return invalidArgument('MALFORMED_REQUEST', [{ field, description }]);
  }
  if (rawMessage === COMPRESSED_UNNAMED) return rpcError(Code.Internal, rawMessage, { reason: 'MALFORMED_REQUEST' });
  const code = given === Code.Internal || given === Code.Unknown ? Code.InvalidArgument : given;
  return rpcError(code, rawMessage, { reason: FRAMING_REASONS[code] ?? 'MALFORMED_REQUEST' });
}

/** The same for an error of writing a response. That is our fault, unless the response is too large. */
export function explainWriteError(error: ConnectError): ConnectError {
  if (error.code !== Code.ResourceExhausted) return internalError(error);
  return rpcError(error.code, error.rawMessage, { reason: 'RESPONSE_TOO_LARGE' });
}

/**
 * INVALID_ARGUMENT, with a BadRequest that names the fields, up to NAMED_MAX.
 *
 * @param reason of faults without their own. If all faults have the same reason, the error has that.
 */
export function invalidArgument(reason: ErrorReason, allFaults: readonly FieldFault[]): ConnectError {
  const faults = allFaults.slice(0, NAMED_MAX);
  const message = faults.map(({ field, description }) => `${field}: ${description}`).join('; ');
  const fieldViolations = faults.map(fault => ({ ...fault, reason: fault.reason ?? reason }));
  const [first, ...others] = new Set(fieldViolations.map(fault => fault.reason));
  const details = create(BadRequestSchema, { fieldViolations });
  const metadata = { field: faults.map(fault => fault.field).join(',') };
  const info = { reason: first !== undefined && others.length === 0 ? first : reason, metadata };
  return rpcError(Code.InvalidArgument, message, info, [{ desc: BadRequestSchema, value: details }]);
}

/** UNAVAILABLE, with the delay after which a client may retry. */
export function unavailable(message: string, reason: ErrorReason, cause?: unknown): ConnectError {
  const retryDelay = create(DurationSchema, { seconds: 1n });
  const retry = { desc: RetryInfoSchema, value: create(RetryInfoSchema, { retryDelay }) };
  return rpcError(Code.Unavailable, message, { reason }, [retry], cause);
}

/** UNAVAILABLE for a call that was refused, so that others can be served. */
export function overloaded(message: string): ConnectError {
  return unavailable(message, 'OVERLOADED');
}

/** One line for each error that has a meaning for clients. */
const TABLE = [
  on(InvalidArgumentError, e => invalidArgument(e.reason, e.faults)),
  on(RequestIdReusedError, () =>
    invalidArgument('REQUEST_ID_REUSED', [
      { field: 'request_id', description: 'was used before with another payload' },
    ]),
  ),
  on(PostNotFoundError, e =>
    rpcError(
      Code.NotFound,
      e.message,
      { reason: 'POST_NOT_FOUND', metadata: { post: e.keys.join(',') } },
      posts(e.keys),
    ),
  ),
  on(PostDeletedError, e =>
    rpcError(Code.NotFound, e.message, { reason: 'POST_DELETED', metadata: { post: e.id } }, posts([e.id])),
  ),
  on(PostNotDeletedError, e =>
    rpcError(Code.AlreadyExists, e.message, { reason: 'POST_NOT_DELETED', metadata: { post: e.id } }, posts([e.id])),
  ),
  on(SlugTakenError, e =>
    rpcError(Code.AlreadyExists, e.message, { reason: 'SLUG_TAKEN', metadata: { slug: e.slug } }, posts([e.slug])),
  ),
  on(EtagMismatchError, e =>
    rpcError(Code.Aborted, e.message, {
      reason: 'ETAG_MISMATCH',
      metadata: { post: e.id, current_etag: e.currentEtag },
    }),
  ),
  on(WriteConflictError, e =>
    rpcError(Code.Aborted, 'a concurrent write changed the same post: retry', { reason: 'WRITE_CONFLICT' }, [], e),
  ),
  on(PostsTooLargeError, e =>
    rpcError(Code.ResourceExhausted, e.message, {
      reason: 'RESPONSE_TOO_LARGE',
      metadata: { max_content_bytes: String(e.maxContentBytes) },
    }),
  ),
  on(ResponseTooLargeError, e =>
    rpcError(Code.ResourceExhausted, e.message, {
      reason: 'RESPONSE_TOO_LARGE',
      metadata: { max_bytes: String(RESPONSE_MAX_BYTES) },
    }),
  ),
  on(PostChangesExpiredError, e =>
    rpcError(Code.OutOfRange, `${e.message}: list the posts anew, and watch without a resume_token`, {
      reason: 'RESUME_TOKEN_EXPIRED',
      metadata: { field: 'resume_token' },
    }),
  ),
  on(WatcherTooSlowError, e => unavailable(`${e.message}: resume with the last resume_token`, 'WATCHER_TOO_SLOW')),
  on(StatementTimeoutError, e =>
    rpcError(Code.DeadlineExceeded, 'the database took too long', { reason: 'STATEMENT_TIMEOUT' }, [], e),
  ),
  on(OverloadedError, e => overloaded(e.message)),
  on(DatabaseUnavailableError, e => unavailable('the database is not available now', 'DATABASE_UNAVAILABLE', e)),
] as const;

/** Only its text identifies this error of Connect. The conformance suite notices another wording. */
const COMPRESSED_UNNAMED = 'received compressed envelope, but do not know how to decompress';

const FRAMING_REASONS: Partial<Record<Code, ErrorReason>> = {
  [Code.Canceled]: 'CANCELED',
  [Code.DeadlineExceeded]: 'DEADLINE_EXCEEDED',
  [Code.ResourceExhausted]: 'MESSAGE_TOO_LARGE',
  [Code.Unimplemented]: 'UNSUPPORTED',
};

function on<E extends Error>(
  type: abstract new (...args: never[]) => E,
  translate: (error: E) => ConnectError,
): readonly [abstract new (...args: never[]) => E, (error: E) => ConnectError] {
  return [type, translate];
}

function internalError(cause: unknown): ConnectError {
  return rpcError(Code.Internal, 'internal error', { reason: 'INTERNAL' }, [], cause);
}

function posts(names: readonly string[]): ErrorDetail[] {
  return names.slice(0, NAMED_MAX).map(resourceName => ({
    desc: ResourceInfoSchema,
    value: create(ResourceInfoSchema, { resourceType: 'blog.v1.Post', resourceName }),
  }));
}
