import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { ConnectError } from '@connectrpc/connect';
import {
  BadRequestSchema,
  ErrorInfoSchema,
  PreconditionFailureSchema,
  QuotaFailureSchema,
  ResourceInfoSchema,
  RetryInfoSchema,
} from '../../gen/google/rpc/error_details_pb.js';

/** The reason of an error, for a program to branch on. */
export interface ErrorInfo {
  /** Such as `SLUG_TAKEN`; each RPC's comment names its own. */
  readonly reason: string;
  /** The service that defines the reason: `blog.v1.PostService`. */
  readonly domain: string;
  /** The values of the case, such as the slug. */
  readonly metadata: Readonly<Record<string, string>>;
}

/** A field of a request that broke a rule. */
export interface FieldViolation {
  /** The path in the request, such as `post.tags[2]`. */
  readonly field: string;
  /** What is wrong, in English, for a developer. */
  readonly description: string;
  /** What kind of fault it is, such as `VALIDATION_FAILED` or `INVALID_ORDER_BY`. */
  readonly reason: string;
}

/** A resource that the error is about. */
export interface Resource {
  readonly type: string;
  readonly name: string;
  readonly description: string;
}

/** A precondition of the call that failed, or a limit that was reached. */
export interface Violation {
  /** The kind of precondition; empty for a limit. */
  readonly type: string;
  /** The subject of the precondition or limit. */
  readonly subject: string;
  readonly description: string;
}

/**
 * The reason of a failed call. Undefined if the error is not the service's, but of a proxy, the network, or the caller's own deadline.
 * Accepts any caught value.
 */
export function errorInfo(error: unknown): ErrorInfo | undefined {
  const info = detail(error, ErrorInfoSchema);
  return info && { reason: info.reason, domain: info.domain, metadata: info.metadata };
}

/** The fields that broke a rule, in the order of the request's schema; empty where the error is not about fields. */
export function fieldViolations(error: unknown): FieldViolation[] {
  const violations = detail(error, BadRequestSchema)?.fieldViolations ?? [];
  return violations.map(({ field, description, reason }) => ({ field, description, reason }));
}

/**
 * How long to wait before the call is repeated, in milliseconds. Undefined if the server named no delay; then a repetition may not help.
 */
export function retryDelayMs(error: unknown): number | undefined {
  const delay = detail(error, RetryInfoSchema)?.retryDelay;
  return delay && Number(delay.seconds) * 1000 + delay.nanos / 1_000_000;
}

/** The resources that the error is about, such as each absent post of a BatchGetPosts; empty where none is named. */
export function resources(error: unknown): Resource[] {
  return details(error, ResourceInfoSchema).map(({ resourceType, resourceName, description }) => ({
    type: resourceType,
    name: resourceName,
    description,
  }));
}

/** The preconditions of the call that failed, such as an etag that is not current any more. Empty if none is named. */
export function preconditionViolations(error: unknown): Violation[] {
  const violations = detail(error, PreconditionFailureSchema)?.violations ?? [];
  return violations.map(({ type, subject, description }) => ({ type, subject, description }));
}

/** The limits that the call reached; empty if none is named. */
export function quotaViolations(error: unknown): Violation[] {
  const violations = detail(error, QuotaFailureSchema)?.violations ?? [];
  return violations.map(({ subject, description }) => ({ type: '', subject, description }));
}

function detail<D extends DescMessage>(error: unknown, schema: D): MessageShape<D> | undefined {
  return details(error, schema)[0];
}

function details<D extends DescMessage>(error: unknown, schema: D): MessageShape<D>[] {
  return error instanceof ConnectError ? error.findDetails(schema) : [];
}
