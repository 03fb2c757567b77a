import type { z } from 'zod';
import { type LogLevel, SETTINGS, settingsSchema } from '#src/config/settings.ts';

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
    /** How long one of HTTP/1.1 may wait for its next request, in milliseconds. */
    readonly idleTimeoutMs: number;
  };
  /** Origins whose pages may call from a browser; `*` stands for any. */
  readonly corsOrigins: readonly string[];
  /** Fields that these pages may send and read, beside those that the service and its protocols have. */
  readonly corsFields: { readonly allow: readonly string[]; readonly expose: readonly string[] };
  /** In front of the public port. */
  readonly proxies: {
    /** CIDRs or addresses of those that may say for whom they call. */
    readonly trusted: readonly string[];
    /** Where they say it; unset: X-Forwarded-For, or else Forwarded. */
    readonly field: 'x-forwarded-for' | 'forwarded' | undefined;
    /** Whether each connection begins with a PROXY header. */
    readonly protocol: boolean;
  };
  /** The most bytes of one request message, as sent and inflated. */
  readonly requestMaxBytes: number;
  /** From how many bytes on a response is compressed, for a client that takes it. */
  readonly compressMinBytes: number;
  /** The most memory that large answers take together. */
  readonly responseBudgetBytes: number;
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
  const parsed = settingsSchema.safeParse(given);
  const problems = [
    ...(parsed.error?.issues ?? []).map(issue => `${issue.path[0]?.toString()}: ${issue.message}`),
    ...missingCompanions(given),
    ...deadlinesOutOfOrder(given),
  ];
  if (!parsed.success || problems.length > 0) throw new ConfigError(problems);
  return deepFreeze(toConfig(parsed.data));
}

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

function toConfig(s: z.infer<typeof settingsSchema>): Config {
  return {
    listen: { host: s.HOST, port: s.PORT },
    admin: { host: s.ADMIN_HOST, port: s.ADMIN_PORT, token: s.ADMIN_TOKEN },
    tls: s.TLS_CERT && s.TLS_KEY ? { certFile: s.TLS_CERT, keyFile: s.TLS_KEY } : undefined,
    connections: {
      perAddress: s.CONNECTIONS_PER_ADDRESS,
      max: s.CONNECTIONS_MAX,
      maxAgeMs: s.CONNECTION_MAX_AGE,
      idleTimeoutMs: s.CONNECTION_IDLE_TIMEOUT,
    },
    corsOrigins: s.CORS_ORIGINS ?? [],
    corsFields: { allow: s.CORS_ALLOW_HEADERS ?? [], expose: s.CORS_EXPOSE_HEADERS ?? [] },
    proxies: { trusted: s.TRUSTED_PROXIES ?? [], field: s.FORWARDED_FIELD, protocol: s.PROXY_PROTOCOL },
    requestMaxBytes: s.REQUEST_MAX_BYTES,
    compressMinBytes: s.COMPRESS_MIN_BYTES,
    responseBudgetBytes: s.RESPONSE_BUDGET,
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
