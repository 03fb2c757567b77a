import { create, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import { type Code, ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema } from '#gen/google/rpc/error_details_pb.js';

/** The `domain` of every ErrorInfo. Within it, a `reason` has one meaning (AIP-193). */
export const ERROR_DOMAIN = 'blog.v1.PostService';

/** The most items of one kind that an error names, such as fields. gRPC sends errors in trailers, of which common clients accept 8 KiB. */
export const NAMED_MAX = 20;

/** An error for the client with its ErrorInfo, and with further details. The message is cut to 512 characters. */
export function rpcError(
  code: Code,
  message: string,
  info: { readonly reason: ErrorReason; readonly metadata?: Record<string, string> },
  details: readonly ErrorDetail[] = [],
  cause?: unknown,
): ConnectError {
  return new ConnectError(
    cut(message, MESSAGE_MAX),
    code,
    undefined,
    [errorInfo(info.reason, info.metadata), ...details],
    cause,
  );
}

/** An ErrorInfo of our domain. `metadata` has the values of the case, each cut to 256 characters. */
export function errorInfo(
  reason: ErrorReason,
  metadata: Record<string, string> = {},
): ErrorDetail<typeof ErrorInfoSchema> {
  const short = Object.fromEntries(Object.entries(metadata).map(([name, value]) => [name, cut(value, 256)]));
  return { desc: ErrorInfoSchema, value: create(ErrorInfoSchema, { reason, domain: ERROR_DOMAIN, metadata: short }) };
}

/** Whether an error has an ErrorInfo, which all of ours have. */
export function hasErrorInfo(error: ConnectError): boolean {
  return error.details.some(detail =>
    'desc' in detail ? detail.desc.typeName === ErrorInfoSchema.typeName : detail.type === ErrorInfoSchema.typeName,
  );
}

const MESSAGE_MAX = 512;

/** No protocol can send an unpaired surrogate. A cut may leave one, or a client's text may have one. */
function cut(text: string, max: number): string {
  return text.slice(0, max).toWellFormed();
}

/** A detail of an error, in the form of ConnectError. */
export interface ErrorDetail<Desc extends DescMessage = DescMessage> {
  readonly desc: Desc;
  readonly value: MessageInitShape<Desc>;
}

/**
 * Every `reason` of an ErrorInfo. docs/errors.md explains each one, and a test compares the two. A reason is never renamed, because clients
 * branch on it.
 */
export const ERROR_REASONS = [
  // The request breaks a rule of the API.
  'VALIDATION_FAILED',
  'INVALID_UPDATE_MASK',
  'INVALID_ORDER_BY',
  'INVALID_PAGE_TOKEN',
  'INVALID_RESUME_TOKEN',
  'INVALID_CONSISTENCY_TOKEN',
  'REQUEST_ID_REUSED',
  // The state of the posts does not allow the request.
  'POST_NOT_FOUND',
  'POST_DELETED',
  'POST_NOT_DELETED',
  'SLUG_TAKEN',
  'ETAG_MISMATCH',
  'WRITE_CONFLICT',
  'RESUME_TOKEN_EXPIRED',
  'RESPONSE_TOO_LARGE',
  // The service cannot answer now, or not in time.
  'DATABASE_UNAVAILABLE',
  'OVERLOADED',
  'TOO_MANY_CALLS',
  'SHUTTING_DOWN',
  'WATCHER_TOO_SLOW',
  'DEADLINE_EXCEEDED',
  'STATEMENT_TIMEOUT',
  'CANCELED',
  'INTERNAL',
  // The bytes are not a call of this service.
  'MALFORMED_REQUEST',
  'MESSAGE_TOO_LARGE',
  'UNSUPPORTED',
  'UNSUPPORTED_MEDIA_TYPE',
  'METHOD_NOT_ALLOWED',
  'HTTP2_REQUIRED',
  'UNKNOWN_PATH',
  'SERVICE_NOT_FOUND',
  'BAD_HOST',
  'BAD_TARGET',
  'UNSUPPORTED_VERSION',
  'TUNNEL_REFUSED',
  'EXPECTATION_FAILED',
  'UNSUPPORTED_TRANSFER_CODING',
  'REQUEST_TIMEOUT',
  'URL_TOO_LONG',
  'HEADERS_TOO_LARGE',
  'CHUNK_EXTENSIONS_TOO_LARGE',
  'RESET',
] as const;

export type ErrorReason = (typeof ERROR_REASONS)[number];
