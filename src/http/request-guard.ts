import { createHostGuard } from '#src/http/host-guard.ts';
import { REFUSALS, type RequestGuard } from '#src/http/refusal.ts';

/** The most header fields of a request. Browsers, gRPC clients and proxies together send about 40. */
export const HEADERS_MAX_COUNT = 128;
/** The most bytes of all names and values of a request's header; what proxies take is 8 to 32 KB. */
export const HEADERS_MAX_BYTES = 16 * 1024;
/** HTTP/2: the most that names and values count with 32 bytes more for each field (RFC 9113, 6.5.2), whatever their number. */
export const HTTP2_HEADERS_MAX_SIZE = HEADERS_MAX_BYTES + HEADERS_MAX_COUNT * 32;
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
    const isHttp2 = httpVersion === '2.0';
    if (!isHttp2 && rawHeaders.length > HEADERS_MAX_COUNT * 2) return REFUSALS.headersTooLarge;
    if (target.length > TARGET_MAX_LENGTH) return REFUSALS.urlTooLong;
    // HTTP/1.1: the parser has measured it, and trimmed the values.
    if (isHttp2) {
      const size = http2SizeOf(rawHeaders);
      if (size === undefined) return REFUSALS.malformed;
      if (size > HTTP2_HEADERS_MAX_SIZE) return REFUSALS.headersTooLarge;
    }
    // RFC 9110, 7.8: an upgrade may be ignored. Java's HTTP client offers h2c with each first request.
    if (upgrade !== undefined && upgrade !== 'h2c') return REFUSALS.tunnel;
    const refusal = refuseHost(head, httpVersion, rawHeaders);
    if (refusal !== undefined) return refusal;
    if (method === 'POST') return isRpcMediaType(head.contentType) ? undefined : REFUSALS.badMediaType;
    return method === 'GET' || method === 'OPTIONS' || method === 'HEAD' ? undefined : REFUSALS.badMethod;
  };
}

/** The size of a field section; undefined: a value begins or ends with whitespace (RFC 9113, 8.2.1). */
function http2SizeOf(rawHeaders: readonly string[]): number | undefined {
  let size = rawHeaders.length * 16;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const value = rawHeaders[i + 1] as string;
    if (isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(value.length - 1))) return undefined;
    size += (rawHeaders[i] as string).length + value.length;
  }
  return size;
}

/** A space or a tab. */
function isBlank(char: number): boolean {
  return char === 0x20 || char === 0x09;
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
