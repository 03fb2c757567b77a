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
