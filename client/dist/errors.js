import { ConnectError } from '@connectrpc/connect';
import { BadRequestSchema, ErrorInfoSchema, PreconditionFailureSchema, QuotaFailureSchema, ResourceInfoSchema, RetryInfoSchema, } from '../gen/google/rpc/error_details_pb.js';
/**
 * The reason of a failed call. Undefined where the service gave none: the error came from elsewhere, such as a proxy, the
 * network, or the caller's own deadline. Takes anything that was caught.
 */
export function errorInfo(error) {
    const info = detail(error, ErrorInfoSchema);
    return info && { reason: info.reason, domain: info.domain, metadata: info.metadata };
}
/** The fields that broke a rule, in the order of the request's schema; empty where the error is not about fields. */
export function fieldViolations(error) {
    const violations = detail(error, BadRequestSchema)?.fieldViolations ?? [];
    return violations.map(({ field, description, reason }) => ({ field, description, reason }));
}
/**
 * How long to wait before the call is repeated, in milliseconds. Undefined where the server asked for no delay, and
 * then it is not said that a repetition helps.
 */
export function retryDelayMs(error) {
    const delay = detail(error, RetryInfoSchema)?.retryDelay;
    return delay && Number(delay.seconds) * 1000 + delay.nanos / 1_000_000;
}
/** The resources that the error is about, such as each absent post of a BatchGetPosts; empty where none is named. */
export function resources(error) {
    return details(error, ResourceInfoSchema).map(({ resourceType, resourceName, description }) => ({
        type: resourceType,
        name: resourceName,
        description,
    }));
}
/** What had to hold before the call and did not, such as an etag that is no longer current; empty where none is named. */
export function preconditionViolations(error) {
    const violations = detail(error, PreconditionFailureSchema)?.violations ?? [];
    return violations.map(({ type, subject, description }) => ({ type, subject, description }));
}
/** The limits that the call ran into; empty where none is named. */
export function quotaViolations(error) {
    const violations = detail(error, QuotaFailureSchema)?.violations ?? [];
    return violations.map(({ subject, description }) => ({ type: '', subject, description }));
}
function detail(error, schema) {
    return details(error, schema)[0];
}
function details(error, schema) {
    return error instanceof ConnectError ? error.findDetails(schema) : [];
}
