import { randomUUID } from 'node:crypto';

/**
 * The request's id: the client's own, where it is 1 to 128 characters of [A-Za-z0-9._:-], and else a new UUID. So it can
 * stand in a log line or a header as it is.
 */
export function requestIdFrom(header: string | string[] | undefined): string {
  return typeof header === 'string' && /^[A-Za-z0-9._:-]{1,128}$/.test(header) ? header : randomUUID();
}
