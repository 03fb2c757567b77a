import { z } from 'zod';
import { bytes, duration, headerValue, integer, list, origin, url } from '#src/setting-types.ts';

/** The service's settings: parsed once, frozen, and handed to what needs them. */
export interface Config {
  /** The public port; `port` 0 picks a free one. */
  readonly listen: { readonly host: string; readonly port: number };
  /** The operators' port; `port` 0 picks a free one. */
  readonly admin: { readonly host: string; readonly port: number; readonly token: string | undefined };
  /** Paths of a PEM certificate chain and its key; unset: clear text. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined;
  /** Of the public port. */
  readonly connections: {
    /** The most from one address; 0: no limit. */
    readonly perAddress: number;
    /** The most in all; 0: no limit. */
    readonly max: number;
    /** How old one may get, in milliseconds, give or take a tenth by chance; 0: as old as it likes. */
    readonly maxAgeMs: number;
  };
  /** Origins whose pages may call from a browser; `*` stands for any. */
  readonly corsOrigins: readonly string[];
  /** The most bytes of one request message, as sent and inflated. */
  readonly requestMaxBytes: number;
  /** From how many bytes on a response is compressed, for a client that takes it. */
  readonly compressMinBytes: number;
  /** Whether unary calls take the fast path. */
  readonly fastPath: boolean;
  /** The field Cache-Control of answers to GET, by procedure. */
  readonly cacheControl: Readonly<Record<string, string>>;
  readonly deadline: {
    /** For calls that set no deadline, in milliseconds. */
    readonly defaultMs: number;
    /** Longer deadlines are cut to this, in milliseconds. */
    readonly maxMs: number;
  };
  readonly database: DatabaseConfig;
  readonly purge: {
    /** How often what is no longer kept is removed, in milliseconds. */
    readonly intervalMs: number;
    /** For how long changes are kept for watchers, in milliseconds. */
    readonly changeRetentionMs: number;
  };
  readonly cache: CacheConfig;
  readonly redis: {
    readonly url: string | undefined;
    /** For each command, in milliseconds. */
    readonly timeoutMs: number;
  };
  readonly dataDir: string;
  readonly log: {
    readonly level: LogLevel;
    readonly format: 'json' | 'pretty' | undefined;
    /** Calls that went well beyond so many a second are sampled. */
    readonly accessRate: number;
  };
  /** Unset: generated and kept in `dataDir` (embedded Postgres only). */
  readonly pageTokenSecret: string | undefined;
  /** For how long calls are taken as before when the service is told to end. */
  readonly shutdownDelayMs: number;
  readonly shutdownGraceMs: number;
  /** Whether a database that is down makes the instance unready, though it can serve from its cache. */
  readonly readinessRequiresDatabase: boolean;
  /** How late the event loop may be before calls are refused. */
  readonly overloadDelayMs: number;
}

/** How to reach Postgres and how long to wait for it; all times in milliseconds. */
export interface DatabaseConfig {
  /** Unset: the embedded Postgres. */
  readonly url: string | undefined;
  readonly replicaUrls: readonly string[];
  /** A replica that is further behind is not read from. */
  readonly replicaMaxLagMs: number;
  readonly poolMax: number;
  readonly acquireTimeoutMs: number;
  readonly maxWaiting: number;
  readonly idleTimeoutMs: number;
  readonly lifetimeMs: number;
  readonly statementTimeoutMs: number;
  /** A connection that is held for longer is reported. */
  readonly leakAfterMs: number;
  readonly lockTimeoutMs: number;
  readonly transactionIdleTimeoutMs: number;
  /** Connections for hot reads, beside those of the pool. */
  readonly lanes: number;
  /** Whether hot reads are prepared by name. */
  readonly preparedStatements: boolean;
  /** A read that takes as long, or longer, counts for the circuit breaker. */
  readonly slowCallMs: number;
  /** How long an open circuit stays open before a call is tried. */
  readonly breakerOpenMs: number;
}

/** What is kept of posts and lists that were read; all times in milliseconds. */
export interface CacheConfig {
  /** In this process; 0: nothing is kept anywhere. */
  readonly nearBytes: number;
  readonly ttlMs: number;
  readonly negativeTtlMs: number;
  readonly listTtlMs: number;
  readonly staleIfErrorMs: number;
}

export type LogLevel = (typeof LOG_LEVELS)[number];

/** One setting, as `--help` and `.env.example` show it. */
export interface Setting {
  readonly name: string;
  /** As one would write it; empty where there is none. */
  readonly default: string;
  readonly meaning: string;
}

/** Thrown by parseConfig: `problems` has one line for each bad setting, each naming it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(`bad settings:\n${problems.map(p => `  ${p}`).join('\n')}`);
    this.problems = problems;
  }
}

/**
 * Reads the settings from environment variables. A variable that is unset or empty takes its default.
 *
 * @throws ConfigError with every problem at once.
 */
export function parseConfig(env: Readonly<Record<string, string | undefined>>): Config {
  const given = Object.fromEntries(Object.keys(SETTINGS).map(name => [name, env[name] || undefined]));
  const parsed = schema.safeParse(given);
  const problems = [
    ...(parsed.error?.issues ?? []).map(issue => `${issue.path[0]?.toString()}: ${issue.message}`),
    ...missingCompanions(given),
    ...deadlinesOutOfOrder(given),
  ];
  if (!parsed.success || problems.length > 0) throw new ConfigError(problems);
  return deepFreeze(toConfig(parsed.data));
}

/** Every setting, in the order in which they are documented. */
export function listSettings(): Setting[] {
  return Object.entries(SETTINGS).map(([name, [, defaultText, meaning]]) => ({ name, default: defaultText, meaning }));
}

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

const port = integer(0, 65_535);
const databaseUrl = url('postgres', 'postgresql');

/** name → schema, default as one would write it, meaning. The one place where a setting is declared. */
const SETTINGS = {
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
  CONNECTIONS_MAX: [
    integer(0, 1_000_000),
    '10000',
    'The most open connections of the public port; further ones are reset. 0: no limit.',
  ],
  CONNECTIONS_PER_ADDRESS: [
    integer(0, 1_000_000),
    '2000',
    'The most of them from one address, or one IPv6 network (/64), so that none can take them all. A balancer needs as many as it has calls at once over HTTP/1.1. New ones are refused for 1 to 30 s after a flood of HTTP/2 frames from there. 0: neither, for a balancer that hides addresses.',
  ],
  CONNECTION_MAX_AGE: [
    duration('0ms', '24h'),
    '30min',
    'Its client is told to open a new connection after this, give or take a tenth by chance, so that clients spread over new instances. Calls end as they would; streams are cut off DEADLINE_MAX later. 0ms: never.',
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
  OVERLOAD_DELAY: [
    duration('1ms', '1h'),
    '25ms',
    'Where all that comes waits this long before anything is done for it, calls are refused (UNAVAILABLE, OVERLOADED), as many as it takes: those with x-criticality sheddable first, then sheddable-plus, critical (the default), critical-plus.',
  ],
  FAST_PATH: [
    z.stringbool('is neither true nor false'),
    'true',
    'Whether unary calls of Connect and gRPC take the fast path; otherwise every call goes through connect-node.',
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
  DATABASE_URL: [databaseUrl, '', 'Postgres, as postgres://user:password@host:5432/name. Unset: one is embedded.'],
  DATABASE_REPLICA_URLS: [
    list(databaseUrl),
    '',
    'Comma-separated URLs of read replicas (streaming). Reads go there where they have replayed what the caller has to see, and else to DATABASE_URL.',
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
    'How long a query waits for a connection before the call is refused: a database that busy is not helped by more.',
  ],
  DATABASE_MAX_WAITING: [integer(0, 100_000), '1000', 'The most queries that wait for a connection at once.'],
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
    'About how often soft-deleted posts whose purge_time has come, old request ids and old changes are removed, in small batches.',
  ],
  DATABASE_LANES: [
    integer(0, 16),
    '2',
    'Connections beside the pool on which short reads are sent without waiting for the answers to those before. Two keep a Postgres of a few cores busy. 0: every read takes a connection of the pool.',
  ],
  DATABASE_PREPARED_STATEMENTS: [
    z.stringbool('is neither true nor false'),
    'true',
    'Whether these reads are prepared, by name, once a connection. false behind a pooler that moves statements between connections, such as PgBouncer in transaction mode.',
  ],
  DATABASE_SLOW_CALL: [
    duration('1ms', '1h'),
    '500ms',
    'Where most reads take this long, calls are kept from the database for a while (circuit breaker): a hundred times what they take otherwise.',
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
    url('redis', 'rediss'),
    '',
    'A cache that all instances share, as redis://user:password@host:6379/0. Unset: each remembers for itself.',
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

const schema = z.object(
  Object.fromEntries(
    Object.entries(SETTINGS).map(([name, [type, fallback]]) => [
      name,
      fallback === '' ? type.optional() : type.prefault(fallback as never),
    ]),
  ) as unknown as SchemaShape,
);

/** Settings that are required where another is given. */
function missingCompanions(given: Readonly<Record<string, string | undefined>>): string[] {
  const problems: string[] = [];
  const requires = (name: string, companion: string, reason = '') => {
    if (given[name] && !given[companion]) problems.push(`${companion}: is required with ${name}${reason}`);
  };
  requires('TLS_CERT', 'TLS_KEY');
  requires('TLS_KEY', 'TLS_CERT');
  requires('DATABASE_URL', 'PAGE_TOKEN_SECRET', ', so that every instance accepts the same page tokens');
  return problems;
}

/** Looks at the two alone, so that it is told whatever else is wrong. */
function deadlinesOutOfOrder(given: Readonly<Record<string, string | undefined>>): string[] {
  const [usual, longest] = (['DEADLINE_DEFAULT', 'DEADLINE_MAX'] as const).map(name => {
    const [type, fallback] = SETTINGS[name];
    return type.safeParse(given[name] ?? fallback).data;
  });
  if (usual === undefined || longest === undefined || usual <= longest) return [];
  return ['DEADLINE_DEFAULT: is longer than DEADLINE_MAX'];
}

type SchemaShape = {
  [K in keyof typeof SETTINGS]: (typeof SETTINGS)[K][1] extends ''
    ? z.ZodOptional<(typeof SETTINGS)[K][0]>
    : (typeof SETTINGS)[K][0];
};

function toConfig(s: z.infer<typeof schema>): Config {
  return {
    listen: { host: s.HOST, port: s.PORT },
    admin: { host: s.ADMIN_HOST, port: s.ADMIN_PORT, token: s.ADMIN_TOKEN },
    tls: s.TLS_CERT && s.TLS_KEY ? { certFile: s.TLS_CERT, keyFile: s.TLS_KEY } : undefined,
    connections: { perAddress: s.CONNECTIONS_PER_ADDRESS, max: s.CONNECTIONS_MAX, maxAgeMs: s.CONNECTION_MAX_AGE },
    corsOrigins: s.CORS_ORIGINS ?? [],
    requestMaxBytes: s.REQUEST_MAX_BYTES,
    compressMinBytes: s.COMPRESS_MIN_BYTES,
    fastPath: s.FAST_PATH,
    cacheControl: {
      'blog.v1.PostService/GetPost': s.CACHE_CONTROL_GET_POST,
      'blog.v1.PostService/BatchGetPosts': s.CACHE_CONTROL_BATCH_GET_POSTS,
      'blog.v1.PostService/ListPosts': s.CACHE_CONTROL_LIST_POSTS,
    },
    deadline: { defaultMs: s.DEADLINE_DEFAULT, maxMs: s.DEADLINE_MAX },
    database: {
      url: s.DATABASE_URL,
      replicaUrls: s.DATABASE_REPLICA_URLS ?? [],
      replicaMaxLagMs: s.DATABASE_REPLICA_MAX_LAG,
      poolMax: s.DATABASE_POOL_MAX,
      acquireTimeoutMs: s.DATABASE_ACQUIRE_TIMEOUT,
      maxWaiting: s.DATABASE_MAX_WAITING,
      idleTimeoutMs: s.DATABASE_IDLE_TIMEOUT,
      lifetimeMs: s.DATABASE_LIFETIME,
      statementTimeoutMs: s.DATABASE_STATEMENT_TIMEOUT,
      leakAfterMs: s.DATABASE_LEAK_AFTER,
      lockTimeoutMs: s.DATABASE_LOCK_TIMEOUT,
      transactionIdleTimeoutMs: s.DATABASE_TRANSACTION_IDLE_TIMEOUT,
      lanes: s.DATABASE_LANES,
      preparedStatements: s.DATABASE_PREPARED_STATEMENTS,
      slowCallMs: s.DATABASE_SLOW_CALL,
      breakerOpenMs: s.DATABASE_BREAKER_OPEN,
    },
    purge: { intervalMs: s.PURGE_INTERVAL, changeRetentionMs: s.CHANGE_RETENTION },
    cache: {
      nearBytes: s.CACHE_NEAR_BYTES,
      ttlMs: s.CACHE_TTL,
      negativeTtlMs: s.CACHE_NEGATIVE_TTL,
      listTtlMs: s.CACHE_LIST_TTL,
      staleIfErrorMs: s.CACHE_STALE_IF_ERROR,
    },
    redis: { url: s.REDIS_URL, timeoutMs: s.REDIS_TIMEOUT },
    dataDir: s.DATA_DIR,
    log: { level: s.LOG_LEVEL, format: s.LOG_FORMAT, accessRate: s.ACCESS_LOG_RATE },
    pageTokenSecret: s.PAGE_TOKEN_SECRET,
    shutdownDelayMs: s.SHUTDOWN_DELAY,
    shutdownGraceMs: s.SHUTDOWN_GRACE,
    readinessRequiresDatabase: s.READINESS_REQUIRES_DATABASE,
    overloadDelayMs: s.OVERLOAD_DELAY,
  };
}

function deepFreeze<T extends object>(value: T): T {
  for (const inner of Object.values(value)) if (typeof inner === 'object' && inner !== null) deepFreeze(inner);
  return Object.freeze(value);
}
