import { splitAuthority } from '#src/config/database-url.ts';

/** Where Redis is, and how it is spoken to. */
export interface RedisUrl {
  /** One server; the master that sentinels name; the servers of a cluster. */
  readonly kind: 'server' | 'sentinel' | 'cluster';
  /** Of the server, of the sentinels, or of some servers of the cluster. At least one. */
  readonly hosts: readonly RedisHost[];
  readonly tls: boolean;
  readonly username: string | undefined;
  readonly password: string | undefined;
  readonly database: number;
  /** What the sentinels call it; empty where there are none. */
  readonly master: string;
  /** For the sentinels, where they ask for one. */
  readonly sentinelPassword: string | undefined;
}

export interface RedisHost {
  readonly host: string;
  readonly port: number;
}

/** The URL names no Redis. The message says what must be different, and nothing of what the URL holds. */
export class RedisUrlError extends Error {
  override readonly name = 'RedisUrlError';
}

/**
 * Reads the URL of a Redis:
 *
 * | URL | what it names |
 * |---|---|
 * | `redis://user:password@host:6379/0` | one server |
 * | `redis-sentinel://user:password@host1:26379,host2:26379/name/0?sentinel_password=…` | the master `name`, which sentinels are asked for |
 * | `redis-cluster://user:password@host1:6379,host2:6379` | a cluster, of which some servers are named |
 *
 * With `rediss` in place of `redis` all of it is spoken over TLS.
 *
 * @throws RedisUrlError where a part is bad.
 */
export function parseRedisUrl(text: string): RedisUrl {
  const { scheme, credentials, hosts, rest } = splitAuthority(text);
  const [, secure, suffix] = /^redis(s?)(|-sentinel|-cluster):\/\/$/i.exec(scheme) ?? [];
  if (suffix === undefined) throw new RedisUrlError(`is no URL that begins with ${SCHEMES.join(', ')}`);
  const kind = suffix === '' ? 'server' : (suffix.slice(1).toLowerCase() as 'sentinel' | 'cluster');
  const url = parse(`redis://${credentials}hosts.invalid${rest}`);
  const path = url.pathname.split('/').filter(part => part !== '');
  const master = kind === 'sentinel' ? decode(path.shift() ?? '') : '';
  if (kind === 'sentinel' && master === '')
    throw new RedisUrlError('must name the master behind the hosts, as in /mymaster');
  const named = hosts.split(',');
  if (kind === 'server' && named.length > 1)
    throw new RedisUrlError('names several hosts: begin it with redis-cluster:// or redis-sentinel://');
  const [database = '0', ...others] = path;
  if (!/^\d{1,5}$/.test(database) || others.length > 0)
    throw new RedisUrlError('must end with the number of a database, or with none');
  if (kind === 'cluster' && Number(database) !== 0)
    throw new RedisUrlError('must name no database: a cluster has only one');
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
  if (hostname === '') throw new RedisUrlError('has a host without a name');
  return { host: hostname.replace(/^\[(.*)\]$/, '$1'), port: port === '' ? defaultPort : Number(port) };
}

function parse(text: string): URL {
  if (!URL.canParse(text)) throw new RedisUrlError('is no URL');
  return new URL(text);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RedisUrlError('has a % that stands for nothing: write %25 for it');
  }
}

const SCHEMES = ['redis', 'rediss'].flatMap(name => ['', '-sentinel', '-cluster'].map(suffix => `${name}${suffix}://`));
const REDIS_PORT = 6379;
const SENTINEL_PORT = 26_379;
