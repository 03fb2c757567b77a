import { createHostGuard } from '#src/http/host-guard.ts';
import { REFUSALS, type Refusal } from '#src/rpc/refusal.ts';
import type { RequestHead } from '#src/rpc/unary/request-head.ts';

/** The most header fields of a request. Browsers, gRPC clients and proxies together send about 40. */
export const HEADERS_MAX_COUNT = 128;
/** The most bytes of all names and values of a request's header; what proxies take is 8 to 32 KB. */
export const HEADERS_MAX_BYTES = 16 * 1024;
/** The longest request target: the same as NGINX's and Apache's default, so that what gets here got through them. */
export const TARGET_MAX_LENGTH = 8 * 1024;

/**
 * @param version of HTTP that the request line names, such as `1.1`; HTTP/2 has none.
 * @param fields of the request, names and values in turn.
 * @returns why a request is refused.
 */
export type RequestGuard = (
  head: RequestHead,
  isHttp2: boolean,
  version: string,
  fields: readonly string[],
) => Refusal | undefined;

/**
 * Refuses requests that are no well-formed HTTP, whatever they call: those that the RPC library can't take without harm, those that
 * are too large, and those whose framing we do not know.
 *
 * An Upgrade is ignored (RFC 9110, 7.8): Apache's HttpClient offers TLS with each request, Java's own offers h2c.
 */
export function createRequestGuard(): RequestGuard {
  const refuseHost = createHostGuard();
  return (head, isHttp2, version, fields) => {
    if (fields.length > HEADERS_MAX_COUNT * 2) return REFUSALS.headersTooLarge;
    if (head.target.length > TARGET_MAX_LENGTH) return REFUSALS.urlTooLong;
    // HTTP/1.1: the parser has measured it.
    if (isHttp2 && sizeOf(fields) > HEADERS_MAX_BYTES) return REFUSALS.headersTooLarge;
    const { transferEncoding } = head;
    if (head.expect !== undefined && head.expect.toLowerCase() !== '100-continue') return REFUSALS.badExpectation;
    if (transferEncoding !== undefined && transferEncoding.toLowerCase() !== 'chunked') return REFUSALS.transferCoding;
    return refuseHost(head, isHttp2, version, fields);
  };
}

function sizeOf(fields: readonly string[]): number {
  let size = 0;
  for (const text of fields) size += text.length;
  return size;
}
