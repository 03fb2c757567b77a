import { cors } from '@connectrpc/connect';
import type { HttpRequest, HttpResponse } from '#src/wire/connection.ts';

/** Cross-origin resource sharing (https://fetch.spec.whatwg.org/#http-cors-protocol). */
export interface Cors {
  /**
   * The response fields that let a page of an allowed origin read the response, names and values in turn.
   *
   * @param origin the request's `Origin`.
   */
  readonly fields: (origin: string | undefined) => readonly string[];
  /** Answers a preflight request. Returns false if the request is not one. */
  readonly answerPreflight: (request: HttpRequest, response: HttpResponse) => boolean;
}

/** Names of header fields, in addition to those of the service and its protocols. */
export interface CorsFields {
  /** Fields that pages may send. */
  readonly allow: readonly string[];
  /** Fields that pages may read. */
  readonly expose: readonly string[];
}

/**
 * Credentials are never allowed: the service reads no cookie.
 *
 * @param origins the origins whose pages may call, such as `https://app.example.com`. `*` allows every origin.
 * @param more further fields, such as those that proxies in front read and add. Default: none.
 */
export function createCors(origins: readonly string[], more: CorsFields = NO_FIELDS): Cors {
  const allowFields = joinNames([...cors.allowedHeaders, ...READ_FIELDS, ...more.allow]);
  const exposeFields = joinNames([...cors.exposedHeaders, ...SENT_FIELDS, ...more.expose]);
  const permit = (origin: string) => [
    'access-control-allow-origin',
    origin,
    'access-control-expose-headers',
    exposeFields,
  ];
  const any = origins.includes('*');
  const permissions = new Map(origins.map(origin => [origin, [...VARY, ...permit(origin)]]));
  // With `*`, a cache may give one response to any page. So the permission is there without an `Origin` too.
  const otherwise = any ? permit('*') : origins.length > 0 ? VARY : [];

  return {
    fields: origin => (any || origin === undefined ? otherwise : (permissions.get(origin) ?? otherwise)),
    answerPreflight(request, response) {
      const { headers } = request;
      if (request.method !== 'OPTIONS' || headers.origin === undefined) return false;
      if (headers['access-control-request-method'] === undefined) return false;
      // The answer ignores the requested method and fields, so that a cache may reuse it for every page of an origin.
      if (any || permissions.has(headers.origin)) {
        response.setHeader('access-control-allow-methods', ALLOWED_METHODS);
        response.setHeader('access-control-allow-headers', allowFields);
        response.setHeader('access-control-max-age', MAX_AGE_SECONDS);
      }
      response.statusCode = 204;
      response.end();
      return true;
    },
  };
}

/** Joins names, and drops those that differ only in case. */
function joinNames(names: readonly string[]): string {
  return [...new Map(names.map(name => [name.toLowerCase(), name])).values()].join(', ');
}

const ALLOWED_METHODS = cors.allowedMethods.join(', ');
/**
 * Request fields that the service reads, in addition to those of the protocols. Proxies and meshes in front read `Authorization`, W3C
 * Trace Context and Baggage too.
 */
const READ_FIELDS = [
  'Authorization',
  'If-None-Match',
  'X-Request-Id',
  'X-Consistency-Token',
  'X-Criticality',
  'Traceparent',
  'Tracestate',
  'Baggage',
  'Grpc-Encoding',
  'Grpc-Accept-Encoding',
];
/** Response fields that the service sends, in addition to those of the protocols and to those that the Fetch standard lets every page read. */
const SENT_FIELDS = [
  'X-Request-Id',
  'X-Consistency-Token',
  'ETag',
  'Age',
  'Cache-Status',
  'Allow',
  'Date',
  'Grpc-Encoding',
  'Grpc-Accept-Encoding',
  'Connect-Accept-Encoding',
];
const NO_FIELDS: CorsFields = { allow: [], expose: [] };
/** Sent without an `Origin` too: a cache must not give that response to a page of another origin. */
const VARY = ['vary', 'Origin'];
/** Two hours, the maximum in Chromium. */
const MAX_AGE_SECONDS = '7200';
