import { create, type DescMessage, type MessageInitShape } from '@bufbuild/protobuf';
import { type Code, ConnectError } from '@connectrpc/connect';
import { ErrorInfoSchema } from '#gen/google/rpc/error_details_pb.js';
import type { ErrorReason } from '#src/rpc/error-reasons.ts';

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
