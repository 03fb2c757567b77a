import type { RequestHead } from '#src/wire/request-head.ts';

/** The bounds of deadlines, in whole milliseconds. */
export interface DeadlineBounds {
  /** The deadline of calls that set none; undefined: none. */
  readonly defaultMs: number | undefined;
  /** The longest deadline. At most 2^31 - 1: a timer above that overflows and fires at once. */
  readonly maxMs: number;
}

/** The timeout of a call in milliseconds, within bounds. Undefined: no limit. Null: the text is not a timeout (`abc`, -1, 0). */
export function parseTimeout(head: RequestHead, grpc: boolean, bounds: DeadlineBounds): number | undefined | null {
  const given = grpc ? head.grpcTimeout : head.connectTimeout;
  if (given === undefined) return bounds.defaultMs;
  const timeoutMs = grpc ? parseGrpcTimeout(given) : parseConnectTimeout(given);
  if (timeoutMs === undefined || timeoutMs <= 0) return null;
  return Math.min(Math.max(timeoutMs, 1), bounds.maxMs);
}

/** "Timeout-Milliseconds: positive integer as ASCII string of at most 10 digits" (Connect protocol). */
export function parseConnectTimeout(value: string): number | undefined {
  return /^\d{1,10}$/.test(value) ? Number(value) : undefined;
}

/** "TimeoutValue: positive integer as ASCII string of at most 8 digits", and a unit (gRPC over HTTP/2). */
export function parseGrpcTimeout(value: string): number | undefined {
  const factor = GRPC_UNITS[value.charAt(value.length - 1)];
  if (factor === undefined || !/^\d{1,8}.$/.test(value)) return undefined;
  return Number(value.slice(0, -1)) * factor;
}

const GRPC_UNITS: Readonly<Record<string, number>> = Object.assign(Object.create(null), {
  H: 3_600_000,
  M: 60_000,
  S: 1000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
});
