import { cors } from '@connectrpc/connect';
import type { HttpRequest, HttpResponse } from '#src/http/connection.ts';

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

/**
 * @param origins the origins whose pages may call, such as `https://app.example.com`; `*` stands for any. A page of another
 *   origin gets no word of permission, so that its browser refuses. No credentials are allowed: the service reads no cookie.
 */
export function createCors(origins: readonly string[]): Cors {
  const any = origins.includes('*');
  const allowed = new Set(origins);
  const varies = !any && allowed.size > 0;

  return {
    fields(origin) {
      if (origin === undefined || !(any || allowed.has(origin))) return varies ? VARY : NONE;
      const readable = ['access-control-allow-origin', any ? '*' : origin, ...EXPOSE_HEADERS];
      return varies ? [...VARY, ...readable] : readable;
    },
    answerPreflight(request, response) {
      const { headers } = request;
      if (request.method !== 'OPTIONS' || headers.origin === undefined) return false;
      if (headers['access-control-request-method'] === undefined) return false;
      if (any || allowed.has(headers.origin)) {
        response.setHeader('access-control-allow-methods', ALLOWED_METHODS);
        response.setHeader('access-control-allow-headers', ALLOWED_HEADERS);
        response.setHeader('access-control-max-age', MAX_AGE_SECONDS);
      }
      response.statusCode = 204;
      response.end();
      return true;
    },
  };
}

const ALLOWED_METHODS = cors.allowedMethods.join(', ');
const ALLOWED_HEADERS = [...cors.allowedHeaders, 'X-Request-Id', 'X-Consistency-Token', 'If-None-Match'].join(', ');
const EXPOSED_HEADERS = [
  ...cors.exposedHeaders,
  'X-Request-Id',
  'X-Consistency-Token',
  'ETag',
  'Age',
  'Cache-Status',
].join(', ');
const EXPOSE_HEADERS = ['access-control-expose-headers', EXPOSED_HEADERS];
const NONE: readonly string[] = [];
/** Also where a request has no origin: a cache must not give its answer to a page that has one. */
const VARY = ['vary', 'Origin'];
/** Two hours, the longest that Chromium keeps it. */
const MAX_AGE_SECONDS = '7200';
