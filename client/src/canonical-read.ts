import { base64Decode } from '@bufbuild/protobuf/wire';
import { CONSISTENCY_TOKEN } from './consistency.ts';

/** A read as it goes out: by GET, or by POST with a body. */
export interface CanonicalRead {
  readonly url: string;
  readonly method: 'GET' | 'POST';
  readonly header: Headers;
  /** Of a POST. */
  readonly body?: Uint8Array<ArrayBuffer>;
}

/**
 * The most characters of a URL. The service, NGINX and others refuse a longer one by default, so such a read goes by POST, which no cache
 * answers.
 */
export const URL_MAX_LENGTH = 8192;

/**
 * Gives a GET of connect-es its canonical URL. connect-go makes the same URL, so a cache keeps one answer for equal requests of all clients.
 * Parameters are in the order of their names. Text is escaped as in a form, so that no URL parser escapes it again.
 *
 * A read that must see a certain write goes by POST: a cache does not know of the write, and would answer without it.
 *
 * @param url as connect-es makes it: `?connect=v1&base64=1&encoding=proto&message=…`.
 */
export function toCanonicalRead(url: string, header: Headers): CanonicalRead {
  const queryAt = url.indexOf('?');
  const query = url.slice(queryAt + 1);
  const sorted = query.split('&').sort().join('&');
  const percent = (sign: string) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`;
  const canonical = `${url.slice(0, queryAt)}?${sorted.replaceAll('%20', '+').replace(/[!'()*]/g, percent)}`;
  return canonical.length <= URL_MAX_LENGTH && !header.has(CONSISTENCY_TOKEN)
    ? { url: canonical, method: 'GET', header }
    : readByPost(url.slice(0, queryAt), new URLSearchParams(query), header);
}

function readByPost(url: string, parameters: URLSearchParams, getHeader: Headers): CanonicalRead {
  const message = parameters.get('message') ?? '';
  const header = new Headers(getHeader);
  header.set('content-type', `application/${parameters.get('encoding')}`);
  header.set('connect-protocol-version', '1');
  const body = parameters.has('base64') ? base64Decode(message) : new TextEncoder().encode(message);
  return { url, method: 'POST', header, body };
}
