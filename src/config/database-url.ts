import { isIPv6 } from 'node:net';

/**
 * The URL of a database. It may name several servers, as in libpq:
 * https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
 */
export interface DatabaseUrl {
  /** One URL for each server, in the order of the URL. At least one. */
  readonly servers: readonly string[];
  /** The `target_session_attrs` of the URL, if it has any. */
  readonly wanted: SessionAttrs | undefined;
}

/** The role that a server must have: libpq's `target_session_attrs`. */
export type SessionAttrs = (typeof SESSION_ATTRS)[number];

/** A bad database URL. The message says what must change, and never quotes the URL, which may hold a password. */
export class DatabaseUrlError extends Error {
  override readonly name = 'DatabaseUrlError';
}

/**
 * Parses the URL of a database. A URL with one host stays unchanged.
 *
 * Each of several hosts may have a port; the default is 5432. The parameters `host` and `port` replace them; a single port applies to all
 * hosts. User, password, database and the other parameters apply to all hosts.
 *
 * @throws DatabaseUrlError if a part is bad.
 */
export function parseDatabaseUrl(text: string): DatabaseUrl {
  const { scheme, credentials, hosts: named, rest } = splitAuthority(text);
  if (!/^postgres(ql)?:\/\/$/i.test(scheme)) throw new DatabaseUrlError(NO_URL);
  const [path = '', query = ''] = cut(rest, '?');
  const parameters = new URLSearchParams(query);
  const wanted = parameters.get('target_session_attrs') ?? undefined;
  if (wanted !== undefined && !isSessionAttrs(wanted)) {
    throw new DatabaseUrlError(`target_session_attrs must be one of ${SESSION_ATTRS.join(', ')}`);
  }
  const hosts = parameters.get('host')?.split(',').map(toAuthority) ?? named.split(',');
  if (hosts.length === 1) {
    if (!URL.canParse(text)) throw new DatabaseUrlError(NO_URL);
    return { servers: [text], wanted };
  }
  const ports = parameters.get('port')?.split(',') ?? [];
  if (ports.length > 1 && ports.length !== hosts.length) {
    throw new DatabaseUrlError(
      `port must have one value, or one for each host, but has ${ports.length} for ${hosts.length} hosts`,
    );
  }
  for (const name of ['host', 'port', 'target_session_attrs']) parameters.delete(name);
  const shared = parameters.size === 0 ? path : `${path}?${parameters}`;
  const servers = hosts.map((host, n) => {
    const [, name = '', ownPort = ''] = HOST.exec(host) ?? [];
    const port = ports[n] ?? ports[0] ?? ownPort;
    const server = `${scheme}${credentials}${name}${port === '' ? '' : `:${port}`}${shared}`;
    if (name === '' || !isPort(port) || !URL.canParse(server)) {
      throw new DatabaseUrlError(
        `host ${n + 1} of ${hosts.length} must be a name or an address, and may have a port from 1 to 65535, such as db:5432 or [::1]:5432`,
      );
    }
    return server;
  });
  return { servers, wanted };
}

/** Splits a URL without normalizing it. Unlike `URL`, it allows several hosts. Text without a scheme is all in `rest`. */
export function splitAuthority(text: string): {
  /** Such as `postgres://`. */
  readonly scheme: string;
  /** Such as `user:password@`; empty if there are none. */
  readonly credentials: string;
  readonly hosts: string;
  /** From the path on. */
  readonly rest: string;
} {
  const [, scheme = '', authority = '', rest = text] = /^([a-z][a-z\d+.-]*:\/\/)([^/?#]*)(.*)$/is.exec(text) ?? [];
  const hostsAt = authority.lastIndexOf('@') + 1;
  return { scheme, credentials: authority.slice(0, hostsAt), hosts: authority.slice(hostsAt), rest };
}

/**
 * Splits a comma-separated list of URLs, each of which may name several hosts. A piece without a scheme is a further host of the URL
 * before it, unless that URL already has a path.
 */
export function splitUrls(text: string): string[] {
  const urls: string[] = [];
  for (const piece of text.split(',').map(part => part.trim())) {
    const last = urls.at(-1);
    if (last !== undefined && piece !== '' && !piece.includes('://') && /^[a-z]+:\/\/[^/?#]*$/i.test(last)) {
      urls.splice(-1, 1, `${last},${piece}`);
    } else if (piece !== '') urls.push(piece);
  }
  return urls;
}

function isSessionAttrs(text: string): text is SessionAttrs {
  return (SESSION_ATTRS as readonly string[]).includes(text);
}

function isPort(text: string): boolean {
  return text === '' || (/^\d{1,5}$/.test(text) && Number(text) >= 1 && Number(text) <= 65_535);
}

/** Writes a host of the parameter `host`, which may be the folder of a Unix socket, as the authority of a URL. */
function toAuthority(host: string): string {
  return isIPv6(host) ? `[${host}]` : encodeURIComponent(host);
}

function cut(text: string, at: string): string[] {
  const found = text.indexOf(at);
  return found < 0 ? [text] : [text.slice(0, found), text.slice(found + 1)];
}

const SESSION_ATTRS = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'] as const;
const NO_URL = 'must be a URL that begins with postgres:// or postgresql://';
const HOST = /^(\[[\da-f:.]+\]|[^:[\]]+)(?::(\d*))?$/i;
