import type { HttpRequest } from '#src/http/connection.ts';
import { REFUSALS, type Refusal } from '#src/http/refusal.ts';

/**
 * Lets a request pass whose target is a path and which names its host once and well: what follows makes a URL of the two,
 * and a URL that can't be parsed would throw where nothing catches it. RFC 9112, 3.2: anything else is 400.
 *
 * The absolute form, which RFC 9112 asks servers to take, is refused: no client sends it but to a proxy, and it would
 * give the request two hosts.
 */
export function createHostGuard(): (request: HttpRequest, target: string) => Refusal | undefined {
  // Nearly all requests name the same host, so the last good one saves the parsing.
  let lastGood: string | undefined;

  return (request, target) => {
    if (request.method === 'CONNECT') return REFUSALS.tunnel;
    if (request.httpVersionMajor < 2 && request.httpVersion !== '1.1') return REFUSALS.oldVersion;
    if (target.charCodeAt(0) !== SLASH) return REFUSALS.badTarget;
    const host = 'stream' in request ? authorityOf(request.rawHeaders) : hostOf(request.rawHeaders);
    if (host === undefined) return REFUSALS.badHost;
    if (host === lastGood) return undefined;
    if (!isHost(host)) return REFUSALS.badHost;
    lastGood = host;
    return undefined;
  };
}

const SLASH = 0x2f;

/** The only Host field; undefined where there is none or more than one. Node's `headers` would hide the second. */
function hostOf(rawHeaders: readonly string[]): string | undefined {
  let host: string | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] as string;
    if (name.length !== 4 || (name !== 'Host' && name !== 'host' && name.toLowerCase() !== 'host')) continue;
    if (host !== undefined) return undefined;
    host = rawHeaders[i + 1];
  }
  return host;
}

/** HTTP/2's `:authority`, or `host`, or both where they agree (RFC 9113, 8.3.1); undefined where they don't. */
function authorityOf(rawHeaders: readonly string[]): string | undefined {
  let authority: string | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if (name !== ':authority' && name !== 'host') continue;
    if (authority !== undefined && authority !== rawHeaders[i + 1]) return undefined;
    authority = rawHeaders[i + 1];
  }
  return authority;
}

/** A name, an IPv4 address or an IPv6 address in brackets, with or without a port, of which a URL can be made. */
function isHost(host: string): boolean {
  return (
    host.length <= 255 &&
    /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/.test(host) &&
    URL.canParse(`http://${host}`)
  );
}
