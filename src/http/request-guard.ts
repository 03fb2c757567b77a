import { createHostGuard } from '#src/http/host-guard.ts';
import { REFUSALS, type RequestGuard } from '#src/http/refusal.ts';

/** The most header fields of a request. Browsers, gRPC clients and proxies together send about 40. */
export const HEADERS_MAX_COUNT = 128;
/** The most bytes of all names and values of a request's header; what proxies take is 8 to 32 KB. */
export const HEADERS_MAX_BYTES = 16 * 1024;
/** The longest request target: the same as NGINX's and Apache's default, so that what gets here got through them. */
export const TARGET_MAX_LENGTH = 8 * 1024;

/**
 * Refuses requests that no client of an RPC sends: those that the RPC library can't take without harm, those that are
 * too large, and those that a web page can send to another origin without asking (forms).
 */
export function createRequestGuard(): RequestGuard {
  const refuseHost = createHostGuard();
  return (head, httpVersion, rawHeaders) => {
    const { target, method, upgrade } = head;
    if (rawHeaders.length > HEADERS_MAX_COUNT * 2) return REFUSALS.headersTooLarge;
    if (target.length > TARGET_MAX_LENGTH) return REFUSALS.urlTooLong;
    // HTTP/1.1: the parser has measured it.
    if (httpVersion === '2.0' && sizeOf(rawHeaders) > HEADERS_MAX_BYTES) return REFUSALS.headersTooLarge;
    // RFC 9110, 7.8: an upgrade may be ignored. Java's HTTP client offers h2c with each first request.
    if (upgrade !== undefined && upgrade !== 'h2c') return REFUSALS.tunnel;
    const refusal = refuseHost(head, httpVersion, rawHeaders);
    if (refusal !== undefined) return refusal;
    if (method === 'POST') return isRpcMediaType(head.contentType) ? undefined : REFUSALS.badMediaType;
    return method === 'GET' || method === 'OPTIONS' || method === 'HEAD' ? undefined : REFUSALS.badMethod;
  };
}

function sizeOf(rawHeaders: readonly string[]): number {
  let size = 0;
  for (const text of rawHeaders) size += text.length;
  return size;
}

/**
 * Whether a page of another origin would have had to ask (CORS) before it sent this: not for a form, text/plain,
 * multipart, or a body without a type. RPCs are all below application/.
 */
function isRpcMediaType(contentType: string | undefined): boolean {
  // What clients send, before the pattern.
  if (contentType === 'application/proto' || contentType === 'application/json') return true;
  return contentType !== undefined && /^application\/(?!x-www-form-urlencoded)/i.test(contentType);
}
