import { splitAuthority } from '#src/config/database-url.ts';

/** How to reach Redis. */
export interface RedisUrl {
  /** One server, the master that sentinels name, or a cluster. */
  readonly kind: 'server' | 'sentinel' | 'cluster';
  /** The server, the sentinels, or some servers of the cluster. At least one. */
  readonly hosts: readonly RedisHost[];
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
  /** The name of the master; empty without sentinels. */
  readonly master: string;
  /** The password of the sentinels, if they require one. */
  readonly sentinelPassword: string | undefined;
}

export interface RedisHost {
  readonly host: string;
  readonly port: number;
}

/** A bad Redis URL. The message says what must change, and never quotes the URL, which may hold a password. */
export class RedisUrlError extends Error {
  override readonly name = 'RedisUrlError';
}

/**
 * Parses the URL of Redis:
 *
 * | URL | what it names |
 * |---|---|
 * | `redis://user:password@host:6379/0` | one server |
 * | `redis-sentinel://user:password@host1:26379,host2:26379/name/0?sentinel_password=…` | the master `name`, as the sentinels know it |
 * | `redis-cluster://user:password@host1:6379,host2:6379` | a cluster, by some of its servers |
 *
 * `rediss` in place of `redis` means TLS.
 *
 * @throws RedisUrlError if a part is bad.
 */
export function parseRedisUrl(text: string): RedisUrl {
  const { scheme, credentials, hosts, rest } = splitAuthority(text);
  const [, secure, suffix] = /^redis(s?)(|-sentinel|-cluster):\/\/$/i.exec(scheme) ?? [];
  if (suffix === undefined) throw new RedisUrlError(`must be a URL that begins with one of ${SCHEMES.join(', ')}`);
  const kind = suffix === '' ? 'server' : (suffix.slice(1).toLowerCase() as 'sentinel' | 'cluster');
  const url = parse(`redis://${credentials}hosts.invalid${rest}`);
  const path = url.pathname.split('/').filter(part => part !== '');
  const master = kind === 'sentinel' ? decode(path.shift() ?? '') : '';
  if (kind === 'sentinel' && master === '')
    throw new RedisUrlError('must name the master after the hosts, such as /mymaster');
  const named = hosts.split(',');
  if (kind === 'server' && named.length > 1)
    throw new RedisUrlError('must begin with redis-cluster:// or redis-sentinel:// to name several hosts');
  const [database = '0', ...others] = path;
  if (!/^\d{1,5}$/.test(database) || others.length > 0)
    throw new RedisUrlError('must have a database number or nothing at its end');
  if (kind === 'cluster' && Number(database) !== 0)
    throw new RedisUrlError('must not name a database: a cluster has only one');
  return {
    kind,
    hosts: named.map(host => toHost(host, kind === 'sentinel' ? SENTINEL_PORT : REDIS_PORT)),
    tls: secure !== '',
    username: decode(url.username) || undefined,
    password: decode(url.password) || undefined,
    database: Number(database),
    master,
    sentinelPassword: url.searchParams.get('sentinel_password') ?? undefined,
  };
}

function toHost(text: string, defaultPort: number): RedisHost {
  const { hostname, port } = parse(`redis://${text}`);
  if (hostname === '') throw new RedisUrlError('must name each host');
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? defaultPort : Number(port) };
}

function parse(text: string): URL {
  if (!URL.canParse(text)) throw new RedisUrlError('must be a URL');
  return new URL(text);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RedisUrlError('must have %25 where it means a %');
  }
}

const SCHEMES = ['redis', 'rediss'].flatMap(name => ['', '-sentinel', '-cluster'].map(suffix => `${name}${suffix}://`));
const REDIS_PORT = 6379;
const SENTINEL_PORT = 26_379;
