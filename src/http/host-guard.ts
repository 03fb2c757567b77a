import { REFUSALS, type RequestGuard } from '#src/http/refusal.ts';

/**
 * Lets a request pass whose target is a path and which names its host once and well: what follows makes a URL of the two,
 * and a URL that can't be parsed would throw where nothing catches it. RFC 9112, 3.2: anything else is 400.
 *
 * The absolute form, which RFC 9112 asks servers to take, is refused: no client sends it but to a proxy, and it would
 * give the request two hosts.
 */
export function createHostGuard(): RequestGuard {
  // Nearly all requests name the same host, so the last good one saves the parsing.
  let lastGood: string | undefined;

  return (head, httpVersion, rawHeaders) => {
    if (head.method === 'CONNECT') return REFUSALS.tunnel;
    const http2 = httpVersion === '2.0';
    if (!http2 && httpVersion !== '1.1') return REFUSALS.oldVersion;
    if (head.target.charCodeAt(0) !== SLASH) return REFUSALS.badTarget;
    const { host } = head;
    if (host === undefined || (http2 ? isContradicted(host, rawHeaders) : head.repeated.includes('host'))) {
      return REFUSALS.badHost;
    }
    if (host === lastGood) return undefined;
    if (!isHost(host)) return REFUSALS.badHost;
    lastGood = host;
    return undefined;
  };
}

const SLASH = 0x2f;

/** HTTP/2: whether `:authority` and `host`, each of which may be missing, don't agree (RFC 9113, 8.3.1). */
function isContradicted(host: string, rawHeaders: readonly string[]): boolean {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i];
    if ((name === ':authority' || name === 'host') && rawHeaders[i + 1] !== host) return true;
  }
  return false;
}

/** A name, an IPv4 address or an IPv6 address in brackets, with or without a port, of which a URL can be made. */
function isHost(host: string): boolean {
  return (
    host.length <= 255 &&
    /^(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?$/.test(host) &&
    URL.canParse(`http://${host}`)
  );
}
