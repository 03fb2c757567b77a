import { z } from 'zod';
import {
  bytes,
  databaseUrl,
  databaseUrls,
  duration,
  fieldName,
  headerValue,
  integer,
  list,
  network,
  origin,
  redisUrl,
} from '#src/config/setting-types.ts';

/** One setting, as `--help` and `.env.example` show it. */
export interface Setting {
  readonly name: string;
  /** As one would write it; empty where there is none. */
  readonly default: string;
  readonly meaning: string;
}

export type LogLevel = (typeof LOG_LEVELS)[number];

/** Every setting, in the order in which they are documented. */
export function listSettings(): Setting[] {
  return Object.entries(SETTINGS).map(([name, [, defaultText, meaning]]) => ({ name, default: defaultText, meaning }));
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

const port = integer(0, 65_535);

/** name → schema, default as one would write it, meaning. The one place where a setting is declared. */
export const SETTINGS = {
  HOST: [z.string(), '127.0.0.1', 'Address of the public port; 0.0.0.0 or :: for all.'],
  PORT: [port, '8080', 'The public port: Connect, gRPC and gRPC-Web over HTTP/1.1 and HTTP/2. 0 picks a free one.'],
  ADMIN_HOST: [z.string(), '127.0.0.1', 'Address of the port for operators. Never make it public.'],
  ADMIN_PORT: [port, '9090', 'The port for operators: /livez, /readyz, /metrics and more. 0 picks a free one.'],
  ADMIN_TOKEN: [
    z.string().min(16, 'is shorter than 16 characters'),
    '',
    'Who asks the port for operators for more than probes and metrics has to send it, as authorization: Bearer TOKEN. Unset: nobody has to where ADMIN_HOST is a loopback address, and nobody gets more where it is not.',
  ],
  READINESS_REQUIRES_DATABASE: [
    z.stringbool('is neither true nor false'),
    'false',
    'Whether an instance whose database is down is not ready at once. By default it stays ready for as long as it can serve from its cache (CACHE_STALE_IF_ERROR): where all instances have one database, there is no better one to send calls to.',
  ],
  TLS_CERT: [z.string(), '', 'PEM file with the certificate chain. With TLS_KEY the public port speaks TLS only.'],
  TLS_KEY: [z.string(), '', 'PEM file with the key of TLS_CERT.'],
  CORS_ORIGINS: [
    list(origin),
    '',
    'Comma-separated origins whose pages may call from a browser; * for any. None: no page of another origin may.',
  ],
  CORS_ALLOW_HEADERS: [
    list(fieldName),
    '',
    'Comma-separated request fields that these pages may send, beside those that the service and its protocols read, such as those that a proxy in front reads.',
  ],
  CORS_EXPOSE_HEADERS: [
    list(fieldName),
    '',
    'Comma-separated response fields that these pages may read, beside those that the service sends, such as those that a proxy in front adds.',
  ],
  TRUSTED_PROXIES: [
    list(network),
    '',
    'Comma-separated CIDRs or addresses of the proxies in front, such as 10.0.0.0/8. Only they may name the client of a call (X-Forwarded-For, Forwarded), for the log and for limits per address. None: the fields are ignored.',
  ],
  FORWARDED_FIELD: [
    z.enum(['x-forwarded-for', 'forwarded'], 'must be x-forwarded-for or forwarded'),
    '',
    'The one of the two fields that your trusted proxies set. Name it if that is Forwarded: a client may send the other one. Unset: X-Forwarded-For, or Forwarded where a call has no X-Forwarded-For.',
  ],
  PROXY_PROTOCOL: [
    z.stringbool('must be true or false'),
    'false',
    'Whether each connection to the public port begins with a PROXY header (version 1 or 2), before TLS too, as TCP load balancers send it. With TRUSTED_PROXIES, only theirs are taken; without, whoever reaches the port may claim any address. Other connections are reset.',
  ],
  CONNECTIONS_MAX: [
    integer(0, 1_000_000),
    '10000',
    'The most open connections of the public port; further ones are reset. 0: no limit.',
  ],
  CONNECTIONS_PER_ADDRESS: [
    integer(0, 1_000_000),
    '2000',
    'The most of them from one address, or one IPv6 network (/64), so that none can take them all. Proxies in TRUSTED_PROXIES have no such limit; it holds for the calls in flight of each of their clients. New ones are refused for 1 to 10 s after three connections from there were ended for floods of HTTP/2 frames within 10 s. 0: neither, for a balancer that hides addresses.',
  ],
  CONNECTION_MAX_AGE: [
    duration('0ms', '24h'),
    '30min',
    'Its client is told to open a new connection after this, give or take a tenth by chance, so that clients spread over new instances. Calls end as they would; streams are cut off DEADLINE_MAX later. 0ms: never.',
  ],
  CONNECTION_IDLE_TIMEOUT: [
    duration('1s', '24h'),
    '620s',
    'An HTTP/1.1 connection is closed when no request came for this long; answers announce it (Keep-Alive). It must be longer than the idle timeout of the load balancer in front, or some of its requests meet a closed connection. Google keeps connections for 600 s, others for 60 s or less.',
  ],
  REQUEST_MAX_BYTES: [
    bytes('1KiB', '64MiB'),
    '4MiB',
    "The most bytes of one request message, as sent and as inflated. 4 MiB is gRPC's own default for messages.",
  ],
  COMPRESS_MIN_BYTES: [
    bytes('0B', '64MiB'),
    '8KiB',
    'From this size on a response is compressed, for a client that takes it. Smaller ones cost more to compress than to send.',
  ],
  RESPONSE_BUDGET: [
    bytes('1MiB', '65536MiB'),
    '64MiB',
    'The most memory that large answers (from 64 KiB on) take together, from the database to their readers. Beyond it large ones are refused (UNAVAILABLE, OVERLOADED), and small ones are not. Of answers that wait for their readers, those that nothing is taken of for a second make room.',
  ],
  OVERLOAD_DELAY: [
    duration('1ms', '1h'),
    '25ms',
    'Where all that comes waits this long before anything is done for it, calls are refused (UNAVAILABLE, OVERLOADED), as many as it takes: those with x-criticality sheddable first, then sheddable-plus, critical (the default), critical-plus.',
  ],
  FAST_PATH: [
    z.stringbool('is neither true nor false'),
    'true',
    'Whether unary POSTs of Connect and gRPC take the fast path; otherwise they go through connect-node. GETs take it always.',
  ],
  CACHE_CONTROL_GET_POST: [
    headerValue,
    'no-cache',
    'Cache-Control of GetPost by GET. no-cache: caches keep an answer and ask each time whether it is current (304). Try: public, max-age=5, stale-while-revalidate=60.',
  ],
  CACHE_CONTROL_BATCH_GET_POSTS: [headerValue, 'no-cache', 'The same for BatchGetPosts.'],
  CACHE_CONTROL_LIST_POSTS: [headerValue, 'no-cache', 'The same for ListPosts.'],
  DEADLINE_DEFAULT: [duration('1ms', '1h'), '10s', 'Deadline of calls that set none.'],
  DEADLINE_MAX: [duration('1ms', '1h'), '60s', 'Longer deadlines are cut to this.'],
  DATABASE_URL: [
    databaseUrl('read-write', 'primary', 'any'),
    '',
    'Postgres, as postgres://user:password@host:5432/name. It may name several hosts, as host1:5432,host2:5432: the one that takes writes is found, and found again after a fail-over. Unset: one is embedded.',
  ],
  DATABASE_REPLICA_URLS: [
    databaseUrls('standby', 'prefer-standby', 'read-only', 'any'),
    '',
    'Comma-separated URLs of read replicas (streaming); each host of a URL is one. Reads go there where they have replayed what the caller has to see, and else to DATABASE_URL. The hosts of DATABASE_URL may be named here too: the primary of the moment is left out.',
  ],
  DATABASE_REPLICA_MAX_LAG: [
    duration('1ms', '1h'),
    '5s',
    'A replica that is further behind is not read from until it has caught up.',
  ],
  DATABASE_POOL_MAX: [integer(1, 1000), '10', 'The most connections to Postgres from this process.'],
  DATABASE_ACQUIRE_TIMEOUT: [
    duration('1ms', '1min'),
    '250ms',
    'How long a call whose turn has come waits for a connection before it fails. Calls wait for their turn as long as their deadlines allow.',
  ],
  DATABASE_MAX_WAITING: [
    integer(0, 100_000),
    '1000',
    'The most calls that wait for their turn at once. Beyond, the least critical are refused.',
  ],
  DATABASE_IDLE_TIMEOUT: [duration('1s', '24h'), '10min', 'An idle connection is closed after this.'],
  DATABASE_LIFETIME: [
    duration('1s', '24h'),
    '30min',
    'A connection is replaced after this, less up to a tenth by chance, so that a failed-over primary is found.',
  ],
  DATABASE_LEAK_AFTER: [
    duration('1ms', '24h'),
    '60s',
    'A connection of the pool that is held for longer is reported in the log, with the place that took it: twice what a statement may take.',
  ],
  DATABASE_STATEMENT_TIMEOUT: [duration('1ms', '1h'), '30s', 'Postgres ends a statement after this.'],
  DATABASE_LOCK_TIMEOUT: [duration('1ms', '1h'), '2s', 'A statement waits this long for a lock, no longer.'],
  DATABASE_TRANSACTION_IDLE_TIMEOUT: [
    duration('1ms', '1h'),
    '10s',
    'Postgres ends a transaction that idles this long.',
  ],
  CHANGE_RETENTION: [
    duration('1h', '8760h'),
    '168h',
    'For how long changes are kept, so for how long a resume_token of WatchPosts is good: 7 days leave time for a weekend.',
  ],
  PURGE_INTERVAL: [
    duration('100ms', '24h'),
    '10min',
    'About how often soft-deleted posts whose purge_time has come, old request ids and old changes are removed, in small batches. Lists are told then which scheduled posts have come due: pages stay exact, and cost more while thousands wait.',
  ],
  DATABASE_LANES: [
    integer(0, 16),
    '2',
    'Connections beside the pool on which short reads are sent without waiting for the answers to those before. Two keep a Postgres of a few cores busy. 0: every read takes a connection of the pool.',
  ],
  DATABASE_PREPARED_STATEMENTS: [
    z.stringbool('is neither true nor false'),
    'true',
    'Whether these reads, those of the change feed, and creations are prepared, by name, once a connection. false behind a pooler that moves statements between connections, such as PgBouncer in transaction mode.',
  ],
  DATABASE_SLOW_CALL: [
    duration('1ms', '1h'),
    '250ms',
    'Where most reads take this long, calls are kept from the database for a while (circuit breaker): a hundred times what they take otherwise, and as long as one waits for a connection.',
  ],
  DATABASE_BREAKER_OPEN: [
    duration('1ms', '1h'),
    '500ms',
    'For how long they are kept from it, each time, until one is tried: short, since one call costs little, and all wait for its success.',
  ],
  CACHE_NEAR_BYTES: [
    bytes('0B', '65536MiB'),
    '64MiB',
    'About how much memory the posts and lists take that this process remembers: with posts of 4 KB some 4,000. 0B: no cache at all, not in Redis either.',
  ],
  CACHE_TTL: [
    duration('1ms', '24h'),
    '60s',
    'How long a post is remembered, up to a tenth less by chance. Writes are heard of at once, so this is the bound only where the change feed is cut off.',
  ],
  CACHE_NEGATIVE_TTL: [
    duration('1ms', '24h'),
    '5s',
    'The same for the answer that there is no such post: short, since anyone can ask for what is not there.',
  ],
  CACHE_LIST_TTL: [
    duration('1ms', '24h'),
    '5s',
    'The same for first pages of lists: short, since with the time alone scheduled posts become published ones.',
  ],
  CACHE_STALE_IF_ERROR: [
    duration('0ms', '24h'),
    '10min',
    'For how much longer it is served, and marked as stale, while the database fails: about as long as a fail-over by hand takes.',
  ],
  REDIS_URL: [
    redisUrl(),
    '',
    'A cache that all instances share, as redis://user:password@host:6379/0, redis-sentinel://…@host1,host2/master/0 or redis-cluster://…@host1,host2; rediss for TLS. Unset: each remembers for itself.',
  ],
  REDIS_TIMEOUT: [
    duration('1ms', '1min'),
    '50ms',
    'How long a command to Redis may take before the call goes on without: a hundred times what it usually takes.',
  ],
  DATA_DIR: [z.string(), '.data', 'Folder of the embedded Postgres and of the generated page token secret.'],
  LOG_LEVEL: [z.enum(LOG_LEVELS, `is none of ${LOG_LEVELS.join(', ')}`), 'info', 'The least level that is logged.'],
  LOG_FORMAT: [
    z.enum(['json', 'pretty'], 'is neither json nor pretty'),
    '',
    'json or pretty. Unset: pretty on a terminal, JSON elsewhere.',
  ],
  ACCESS_LOG_RATE: [
    integer(0, 1_000_000),
    '100',
    'Calls that went well are logged up to this many a second; beyond it 1 in 512, which says so. Others are always logged.',
  ],
  PAGE_TOKEN_SECRET: [
    z.string().min(32, 'has fewer than 32 characters'),
    '',
    'Key of the page tokens, 32 characters or more, the same on every instance. Required with DATABASE_URL; otherwise generated and kept in DATA_DIR. Make one with: openssl rand -base64 32',
  ],
  SHUTDOWN_DELAY: [
    duration('0ms', '10min'),
    '0ms',
    'For how long after SIGTERM calls are taken as before, with /readyz and grpc.health.v1 saying no: as long as it takes balancers to notice, such as 5s in Kubernetes.',
  ],
  SHUTDOWN_GRACE: [duration('0ms', '1h'), '10s', 'How long running calls may take to end after SIGTERM or SIGINT.'],
} as const satisfies Record<string, readonly [z.ZodType, string, string]>;

/** Of the settings as text, by name; where one is unset, it gives its default. */
export const settingsSchema = z.object(
  Object.fromEntries(
    Object.entries(SETTINGS).map(([name, [type, fallback]]) => [
      name,
      fallback === '' ? type.optional() : type.prefault(fallback as never),
    ]),
  ) as unknown as SchemaShape,
);

type SchemaShape = {
  [K in keyof typeof SETTINGS]: (typeof SETTINGS)[K][1] extends ''
    ? z.ZodOptional<(typeof SETTINGS)[K][0]>
    : (typeof SETTINGS)[K][0];
};
