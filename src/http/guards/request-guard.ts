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

/**
 * Accepts a request if its target is a path or a URL, and if it names its host once and validly (RFC 9112, 3.2; otherwise the answer is
 * 400). A URL as the target (absolute form) names the host instead of the field, which must still be present and valid.
 *
 * `version` is that of the request line, such as `1.1`. In `fields`, names and values alternate.
 */
export function createHostGuard(): HostGuard {
  // Nearly all requests name the same host, so the last valid one is not parsed again.
  let lastGood: string | undefined;

  return (head, isHttp2, version, fields) => {
    const { host, targetHost, target } = head;
    if (head.method === 'CONNECT') return REJECTIONS.tunnel;
    // In a request line, the parser accepts `HTTP/2.0`, which is not HTTP/2.
    if (!isHttp2 && version !== '1.1') return REJECTIONS.oldVersion;
    const isOfServer = target === '*' && head.method === 'OPTIONS';
    if ((target.charCodeAt(0) !== SLASH && !isOfServer) || (isHttp2 && targetHost !== undefined))
      return REJECTIONS.badTarget;
    if (host === undefined || (isHttp2 ? isContradicted(host, fields) : head.repeated.includes('host'))) {
      return REJECTIONS.badHost;
    }
    if (targetHost !== undefined && !isAuthority(targetHost)) return REJECTIONS.badHost;
    if (host === lastGood) return undefined;
    if (!isAuthority(host)) return REJECTIONS.badHost;
    lastGood = host;
    return undefined;
  };
}

type HostGuard = (
  head: RequestHead,
  isHttp2: boolean,
  version: string,
  fields: readonly string[],
) => Rejection | undefined;

const SLASH = 0x2f;

/** HTTP/2: whether `:authority` and `host` differ (RFC 9113, 8.3.1). Each may be missing. */
function isContradicted(host: string, fields: readonly string[]): boolean {
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i];
    if ((name === ':authority' || name === 'host') && fields[i + 1] !== host) return true;
  }
  return false;
}

/**
 * A registered name, an IPv4 address, or an IP literal in brackets, with or without a port (RFC 3986, 3.2.2). That includes
 * `postservice.1`, which is not a host of a web URL, and `%2Frun%2Fposts.sock`, with which gRPC clients name a socket. User information is
 * not allowed (RFC 9110, 4.2.4), and neither are escaped control characters.
 */
function isAuthority(host: string): boolean {
  const [, literal, port] = AUTHORITY.exec(host) ?? [];
  if (port === undefined || host.length > HOST_MAX_LENGTH) return false;
  return Number(port.slice(1)) <= 65_535 && (literal === undefined || URL.canParse(`http://${literal}`));
}

const AUTHORITY =
  /^(?:(?:[A-Za-z0-9._~!$&'()*+,;=-]|%(?!0|1|7f)[0-9A-Fa-f]{2})+|(\[[0-9A-Fa-f:.]+\]))((?::[0-9]{0,5})?)$/i;
const HOST_MAX_LENGTH = 255;
