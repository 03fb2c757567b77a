import { cors } from '@connectrpc/connect';
import type { HttpRequest, HttpResponse } from '#src/http/connection.ts';

/** Cross-origin resource sharing (https://fetch.spec.whatwg.org/#http-cors-protocol). */
export interface Cors {
  /** Puts on a response what lets a page of an allowed origin read it. */
  readonly decorate: (request: HttpRequest, response: HttpResponse) => void;
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
    decorate(request, response) {
      // Also where this request has no origin: a cache must not give its answer to a page that has one.
      if (varies) response.setHeader('vary', 'Origin');
      const { origin } = request.headers;
      if (origin === undefined || !(any || allowed.has(origin))) return;
      response.setHeader('access-control-allow-origin', any ? '*' : origin);
      response.setHeader('access-control-expose-headers', EXPOSED_HEADERS);
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
const ALLOWED_HEADERS = [...cors.allowedHeaders, 'X-Request-Id', 'If-None-Match'].join(', ');
const EXPOSED_HEADERS = [...cors.exposedHeaders, 'X-Request-Id', 'ETag'].join(', ');
/** Two hours, the longest that Chromium keeps it. */
const MAX_AGE_SECONDS = '7200';
