import { randomUUID } from 'node:crypto';
import type { RequestHead } from '#src/rpc/unary/request-head.ts';

/**
 * The request's id: the client's own, where there is one, of 1 to 128 characters of [A-Za-z0-9._:-], and else a new UUID. So it can
 * stand in a log line or a header as it is.
 */
export function requestIdFrom({ requestId, repeated }: Pick<RequestHead, 'requestId' | 'repeated'>): string {
  if (requestId === undefined || !/^[A-Za-z0-9._:-]{1,128}$/.test(requestId)) return randomUUID();
  return repeated.includes('requestId') ? randomUUID() : requestId;
}
