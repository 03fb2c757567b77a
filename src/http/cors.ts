import { cors } from '@connectrpc/connect';
import type { HttpRequest, HttpResponse } from '#src/wire/connection.ts';

/** Cross-origin resource sharing (https://fetch.spec.whatwg.org/#http-cors-protocol). */
export interface Cors {
  /**
   * The fields of a response, names and values in turn, that let a page of an allowed origin read it.
   *
   * @param origin the request's field Origin.
   */
  readonly fields: (origin: string | undefined) => readonly string[];
  /** Answers a browser that asks before it sends a request; false where the request is no such question. */
  readonly answerPreflight: (request: HttpRequest, response: HttpResponse) => boolean;
}

/** Names of fields, beside those that the service and its protocols have. */
export interface CorsFields {
  /** That pages may send. */
  readonly allow: readonly string[];
  /** That pages may read. */
  readonly expose: readonly string[];
}

/**
 * @param origins the origins whose pages may call, such as `https://app.example.com`; `*` stands for any. A page of another
 *   origin gets no word of permission, so that its browser refuses. No credentials are allowed: the service reads no cookie.
 * @param more what proxies in front read and add, for example; default: nothing.
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
  // Where the answer does not depend on the origin, a cache may give it to any page: so it says so to all.
  const otherwise = any ? permit('*') : origins.length > 0 ? VARY : [];

  return {
    fields: origin => (any || origin === undefined ? otherwise : (permissions.get(origin) ?? otherwise)),
    answerPreflight(request, response) {
      const { headers } = request;
      if (request.method !== 'OPTIONS' || headers.origin === undefined) return false;
      if (headers['access-control-request-method'] === undefined) return false;
      // The answer does not depend on what is asked for, so that a cache may give it to all pages of an origin.
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

/** Each once, whatever its case. */
function joinNames(names: readonly string[]): string {
  return [...new Map(names.map(name => [name.toLowerCase(), name])).values()].join(', ');
}

const ALLOWED_METHODS = cors.allowedMethods.join(', ');
/**
 * What the service reads beside the fields of the protocols. Authorization and those of W3C Trace Context and Baggage are for the proxies
 * and meshes in front as well.
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
/** What the service sends beside the fields of the protocols, and what the Fetch standard does not let every page read. */
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
/** Also where a request has no origin: a cache must not give its answer to a page that has one. */
const VARY = ['vary', 'Origin'];
/** Two hours, the longest that Chromium keeps it. */
const MAX_AGE_SECONDS = '7200';
