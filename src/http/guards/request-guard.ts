import { createHostGuard } from '#src/http/guards/host-guard.ts';
import { REJECTIONS, type Rejection } from '#src/rpc/rejection.ts';
import type { RequestHead } from '#src/wire/request-head.ts';

/** The most header fields of a request. Browsers, gRPC clients and proxies together send about 40. */
export const HEADERS_MAX_COUNT = 128;
/** The most bytes of all names and values of a request's header. Proxies accept 8 to 32 KB. */
export const HEADERS_MAX_BYTES = 16 * 1024;
/** HTTP/2: the most bytes of names and values, with 32 more for each field (RFC 9113, 6.5.2). */
export const HTTP2_HEADERS_MAX_SIZE = HEADERS_MAX_BYTES + HEADERS_MAX_COUNT * 32;
/** The longest request target: the default of NGINX and Apache, so that everything they accept is accepted here. */
export const TARGET_MAX_LENGTH = 8 * 1024;

/**
 * @param version the HTTP version of the request line, such as `1.1`; HTTP/2 has none.
 * @param fields of the request: names and values alternate.
 * @returns why the request is rejected; undefined: it is not.
 */
export type RequestGuard = (
  head: RequestHead,
  isHttp2: boolean,
  version: string,
  fields: readonly string[],
) => Rejection | undefined;

/**
 * Rejects requests that are not well-formed HTTP, whatever they call: those that would harm the RPC library, those that are too large, and
 * those with unknown framing.
 *
 * An Upgrade is ignored (RFC 9110, 7.8): Apache's HttpClient offers TLS with each request, and Java's own client offers h2c.
 */
export function createRequestGuard(): RequestGuard {
  const refuseHost = createHostGuard();
  return (head, isHttp2, version, fields) => {
    if (!isHttp2 && fields.length > HEADERS_MAX_COUNT * 2) return REJECTIONS.headersTooLarge;
    if (head.target.length > TARGET_MAX_LENGTH) return REJECTIONS.urlTooLong;
    // HTTP/1.1: the parser has already measured it, and trimmed the values.
    if (isHttp2) {
      const size = http2SizeOf(fields);
      if (size === undefined) return REJECTIONS.malformed;
      if (size > HTTP2_HEADERS_MAX_SIZE) return REJECTIONS.headersTooLarge;
    }
    const { transferEncoding } = head;
    if (head.expect !== undefined && head.expect.toLowerCase() !== '100-continue') return REJECTIONS.badExpectation;
    if (transferEncoding !== undefined && transferEncoding.toLowerCase() !== 'chunked')
      return REJECTIONS.transferCoding;
    return refuseHost(head, isHttp2, version, fields);
  };
}

/** The size of a field section; undefined: a value begins or ends with whitespace (RFC 9113, 8.2.1). */
function http2SizeOf(fields: readonly string[]): number | undefined {
  let size = fields.length * 16;
  for (let i = 0; i < fields.length; i += 2) {
    const value = fields[i + 1] as string;
    if (isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(value.length - 1))) return undefined;
    size += (fields[i] as string).length + value.length;
  }
  return size;
}

/** A space or a tab. */
function isBlank(char: number): boolean {
  return char === 0x20 || char === 0x09;
}
