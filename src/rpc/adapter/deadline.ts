import type { IncomingHttpHeaders } from 'node:http';
import { type DeadlineBounds, parseConnectTimeout, parseGrpcTimeout } from '#src/rpc/unary/protocol/timeout.ts';

/** The bounds of calls that stay open, such as a watch: only the client's own deadline applies, up to what a timer can hold. */
export const UNBOUNDED: DeadlineBounds = Object.freeze({ defaultMs: undefined, maxMs: 2 ** 31 - 1 });

/**
 * Bounds the deadline in a request's headers, in place, before the RPC library reads it. Sets the default if there is none. An invalid
 * deadline (`abc`, -1, 0) stays, or is rewritten, so that the library answers INVALID_ARGUMENT. Otherwise 0, or a number above 2^31 - 1,
 * would expire at once.
 *
 * The header is `grpc-timeout` for gRPC and gRPC-Web, by their content type, and Connect's otherwise.
 */
export function boundDeadline(headers: IncomingHttpHeaders, bounds: DeadlineBounds): void {
  const grpc = headers['content-type']?.startsWith('application/grpc') === true;
  const name = grpc ? 'grpc-timeout' : 'connect-timeout-ms';
  const given = headers[name] as string | undefined;
  if (given === undefined) {
    if (bounds.defaultMs === undefined) return;
    headers[name] = format(Math.min(bounds.defaultMs, bounds.maxMs), grpc);
    return;
  }
  const timeoutMs = grpc ? parseGrpcTimeout(given) : parseConnectTimeout(given);
  if (timeoutMs === undefined) return;
  if (timeoutMs === 0) headers[name] = `${given} (must be above 0)`;
  else if (timeoutMs < 1) headers[name] = format(1, grpc);
  else if (timeoutMs > bounds.maxMs) headers[name] = format(bounds.maxMs, grpc);
}

function format(timeoutMs: number, grpc: boolean): string {
  if (!grpc) return String(timeoutMs);
  // A gRPC timeout has at most 8 digits, so above 27 hours its unit is seconds.
  return timeoutMs <= 99_999_999 ? `${timeoutMs}m` : `${Math.floor(timeoutMs / 1000)}S`;
}
