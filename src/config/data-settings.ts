import { z } from 'zod';
import { optional, setting } from '#src/config/setting.ts';
import { bytes, databaseUrl, databaseUrls, duration, integer, redisUrl } from '#src/config/setting-types.ts';

/** Settings of Postgres, the cache and Redis. */
export const DATA_SETTINGS = {
  database: {
    url: optional(
      'DATABASE_URL',
      databaseUrl('read-write', 'primary', 'any'),
      'URL of Postgres, such as postgres://user:password@host:5432/name. It may name several hosts (host1:5432,host2:5432); the service finds the one that accepts writes, also after a fail-over. If unset, the service starts an embedded Postgres.',
    ),
    replicaUrls: setting(
      'DATABASE_REPLICA_URLS',
      databaseUrls('standby', 'prefer-standby', 'read-only', 'any'),
      '',
      'Comma-separated URLs of streaming read replicas; each host of a URL is one replica. A read goes to a replica that has replayed what the caller must see, or else to DATABASE_URL. The hosts of DATABASE_URL may be listed too; the current primary is skipped.',
    ),
    replicaMaxLagMs: setting(
      'DATABASE_REPLICA_MAX_LAG',
      duration('1ms', '1h'),
      '5s',
      'A replica that lags further behind gets no reads until it has caught up.',
    ),
    poolMax: setting(
      'DATABASE_POOL_MAX',
      integer(1, 1000),
      '10',
      'Maximum number of pooled connections from this process to Postgres.',
    ),
    acquireTimeoutMs: setting(
      'DATABASE_ACQUIRE_TIMEOUT',
      duration('1ms', '1min'),
      '250ms',
      'How long an admitted call waits for a connection before it fails. Calls that wait to be admitted may wait until their deadlines.',
    ),
    maxWaiting: setting(
      'DATABASE_MAX_WAITING',
      integer(0, 100_000),
      '1000',
      'Maximum number of calls that wait to be admitted. Beyond it, the least critical are refused.',
    ),
    idleTimeoutMs: setting(
      'DATABASE_IDLE_TIMEOUT',
      duration('1s', '24h'),
      '10min',
      'An idle connection closes after this time.',
    ),
    lifetimeMs: setting(
      'DATABASE_LIFETIME',
      duration('1s', '24h'),
      '30min',
      'A connection is replaced after this time, less up to a tenth by chance, so that the pool finds a new primary after a fail-over.',
    ),
    leakAfterMs: setting(
      'DATABASE_LEAK_AFTER',
      duration('1ms', '24h'),
      '60s',
      'A pooled connection that is held for longer is logged with the place that acquired it. The default is twice the statement timeout.',
    ),
    statementTimeoutMs: setting(
      'DATABASE_STATEMENT_TIMEOUT',
      duration('1ms', '1h'),
      '30s',
      'Postgres cancels a statement after this time.',
    ),
    lockTimeoutMs: setting(
      'DATABASE_LOCK_TIMEOUT',
      duration('1ms', '1h'),
      '2s',
      'Maximum time that a statement waits for a lock.',
    ),
    transactionIdleTimeoutMs: setting(
      'DATABASE_TRANSACTION_IDLE_TIMEOUT',
      duration('1ms', '1h'),
      '10s',
      'Postgres ends a transaction that has been idle for this time.',
    ),
    lanes: setting(
      'DATABASE_LANES',
      integer(0, 16),
      '2',
      'Number of connections beside the pool for short reads, which are pipelined on them. Two keep a Postgres with a few cores busy. With 0, every read takes a pooled connection.',
    ),
    preparedStatements: setting(
      'DATABASE_PREPARED_STATEMENTS',
      z.stringbool('must be true or false'),
      'true',
      'Whether these reads, those of the change feed, and creates use named prepared statements. Set false behind a pooler that moves statements between connections, such as PgBouncer in transaction mode.',
    ),
    slowCallMs: setting(
      'DATABASE_SLOW_CALL',
      duration('1ms', '1h'),
      '250ms',
      'When most reads take this long, the circuit breaker opens. The default is a hundred times a usual read, and equals DATABASE_ACQUIRE_TIMEOUT.',
    ),
    breakerOpenMs: setting(
      'DATABASE_BREAKER_OPEN',
      duration('1ms', '1h'),
      '500ms',
      'How long an open circuit breaker rejects calls before it tries one. The default is short, because one trial costs little and every caller waits for its success.',
    ),
  },
  purge: {
    changeRetentionMs: setting(
      'CHANGE_RETENTION',
      duration('1h', '8760h'),
      '168h',
      'How long changes are kept, and so how long a resume_token of WatchPosts is valid. The default is 7 days, which covers a weekend.',
    ),
    intervalMs: setting(
      'PURGE_INTERVAL',
      duration('100ms', '24h'),
      '10min',
      'Interval between purges. A purge removes, in small batches, old changes, old request ids, and soft-deleted posts past their purge_time. It also moves scheduled posts that have come due into the lists of published ones. Pages stay exact meanwhile, but cost more while thousands of posts wait.',
    ),
  },
  cache: {
    nearBytes: setting(
      'CACHE_NEAR_BYTES',
      bytes('0B', '65536MiB'),
      '64MiB',
      'Approximate memory for the posts and lists cached in this process. The default holds some 4,000 posts of 4 KB. 0B turns off all caching, in Redis too.',
    ),
    ttlMs: setting(
      'CACHE_TTL',
      duration('1ms', '24h'),
      '60s',
      'How long a post is cached, less up to a tenth by chance. Writes invalidate at once, so this bound matters only while the change feed is disconnected.',
    ),
    negativeTtlMs: setting(
      'CACHE_NEGATIVE_TTL',
      duration('1ms', '24h'),
      '5s',
      'How long the absence of a post is cached. The default is short, because anyone can ask for posts that do not exist.',
    ),
    listTtlMs: setting(
      'CACHE_LIST_TTL',
      duration('1ms', '24h'),
      '5s',
      'How long the first page of a list is cached. The default is short, because scheduled posts become published as time passes.',
    ),
    staleIfErrorMs: setting(
      'CACHE_STALE_IF_ERROR',
      duration('0ms', '24h'),
      '10min',
      'How much longer an expired answer is served, marked as stale, while the database fails. The default is about the time of a manual fail-over.',
    ),
  },
  redis: {
    url: optional(
      'REDIS_URL',
      redisUrl(),
      'URL of the cache that all instances share: redis://user:password@host:6379/0, redis-sentinel://…@host1,host2/master/0 or redis-cluster://…@host1,host2. Use rediss for TLS. If unset, each instance has only its own cache.',
    ),
    timeoutMs: setting(
      'REDIS_TIMEOUT',
      duration('1ms', '1min'),
      '50ms',
      'Maximum time of a Redis command. After it, the call continues without Redis. The default is a hundred times the usual time.',
    ),
  },
};
