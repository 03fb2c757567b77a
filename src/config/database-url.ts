import { isIPv6 } from 'node:net';

/**
 * The URL of a database, which may name several servers, as libpq's may:
 * https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
 */
export interface DatabaseUrl {
  /** The same URL for each server alone, in the order in which they are named. At least one. */
  readonly servers: readonly string[];
  /** Which of them is meant, if the URL says so. */
  readonly wanted: SessionAttrs | undefined;
}

/** What a server must be: libpq's `target_session_attrs`. */
export type SessionAttrs = (typeof SESSION_ATTRS)[number];

/** The URL names no database. The message says what must be different, and nothing of what the URL holds. */
export class DatabaseUrlError extends Error {
  override readonly name = 'DatabaseUrlError';
}

/**
 * Reads the URL of a database. A URL with one host is left as it is.
 *
 * Of several hosts each may have a port; 5432 is the default. `host` and `port` among the parameters replace them: one port holds for all
 * hosts. User, password, database and the other parameters hold for all.
 *
 * @throws DatabaseUrlError where a part is bad.
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
      `port must have one value, or one for each host: it has ${ports.length} for ${hosts.length} hosts`,
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

/** The parts of a URL, as they are written. Unlike `URL` it takes several hosts. What has no such parts is all in `rest`. */
export function splitAuthority(text: string): {
  /** Such as `postgres://`. */
  readonly scheme: string;
  /** Such as `user:password@`; empty where there is none. */
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
 * Splits a comma-separated list of URLs, of which each may name several hosts. So a piece that is no URL belongs to the one before it,
 * where that has not come to the end of its hosts.
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

/** A host as the parameter has it, which may be the folder of a Unix socket, as it stands in front of the path. */
function toAuthority(host: string): string {
  return isIPv6(host) ? `[${host}]` : encodeURIComponent(host);
}

function cut(text: string, at: string): string[] {
  const found = text.indexOf(at);
  return found < 0 ? [text] : [text.slice(0, found), text.slice(found + 1)];
}

const SESSION_ATTRS = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'] as const;
const NO_URL = 'is no URL that begins with postgres:// or postgresql://';
const HOST = /^(\[[\da-f:.]+\]|[^:[\]]+)(?::(\d*))?$/i;
