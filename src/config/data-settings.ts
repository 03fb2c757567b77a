import { z } from 'zod';
import { optional, setting } from '#src/config/setting.ts';
import { bytes, databaseUrl, databaseUrls, duration, integer, redisUrl } from '#src/config/setting-types.ts';

/** Of Postgres, the caches in front of it, and Redis. */
export const DATA_SETTINGS = {
  database: {
    url: optional(
      'DATABASE_URL',
      databaseUrl('read-write', 'primary', 'any'),
      'Postgres, as postgres://user:password@host:5432/name. It may name several hosts, as host1:5432,host2:5432: the one that takes writes is found, and found again after a fail-over. Unset: one is embedded.',
    ),
    replicaUrls: setting(
      'DATABASE_REPLICA_URLS',
      databaseUrls('standby', 'prefer-standby', 'read-only', 'any'),
      '',
      'Comma-separated URLs of read replicas (streaming); each host of a URL is one. Reads go there where they have replayed what the caller has to see, and else to DATABASE_URL. The hosts of DATABASE_URL may be named here too: the primary of the moment is left out.',
    ),
    replicaMaxLagMs: setting(
      'DATABASE_REPLICA_MAX_LAG',
      duration('1ms', '1h'),
      '5s',
      'A replica that is further behind is not read from until it has caught up.',
    ),
    poolMax: setting(
      'DATABASE_POOL_MAX',
      integer(1, 1000),
      '10',
      'The most connections to Postgres from this process.',
    ),
    acquireTimeoutMs: setting(
      'DATABASE_ACQUIRE_TIMEOUT',
      duration('1ms', '1min'),
      '250ms',
      'How long a call whose turn has come waits for a connection before it fails. Calls wait for their turn as long as their deadlines allow.',
    ),
    maxWaiting: setting(
      'DATABASE_MAX_WAITING',
      integer(0, 100_000),
      '1000',
      'The most calls that wait for their turn at once. Beyond, the least critical are refused.',
    ),
    idleTimeoutMs: setting(
      'DATABASE_IDLE_TIMEOUT',
      duration('1s', '24h'),
      '10min',
      'An idle connection is closed after this.',
    ),
    lifetimeMs: setting(
      'DATABASE_LIFETIME',
      duration('1s', '24h'),
      '30min',
      'A connection is replaced after this, less up to a tenth by chance, so that a failed-over primary is found.',
    ),
    leakAfterMs: setting(
      'DATABASE_LEAK_AFTER',
      duration('1ms', '24h'),
      '60s',
      'A connection of the pool that is held for longer is reported in the log, with the place that took it: twice what a statement may take.',
    ),
    statementTimeoutMs: setting(
      'DATABASE_STATEMENT_TIMEOUT',
      duration('1ms', '1h'),
      '30s',
      'Postgres ends a statement after this.',
    ),
    lockTimeoutMs: setting(
      'DATABASE_LOCK_TIMEOUT',
      duration('1ms', '1h'),
      '2s',
      'A statement waits this long for a lock, no longer.',
    ),
    transactionIdleTimeoutMs: setting(
      'DATABASE_TRANSACTION_IDLE_TIMEOUT',
      duration('1ms', '1h'),
      '10s',
      'Postgres ends a transaction that idles this long.',
    ),
    lanes: setting(
      'DATABASE_LANES',
      integer(0, 16),
      '2',
      'Connections beside the pool on which short reads are sent without waiting for the answers to those before. Two keep a Postgres of a few cores busy. 0: every read takes a connection of the pool.',
    ),
    preparedStatements: setting(
      'DATABASE_PREPARED_STATEMENTS',
      z.stringbool('is neither true nor false'),
      'true',
      'Whether these reads, those of the change feed, and creations are prepared, by name, once a connection. false behind a pooler that moves statements between connections, such as PgBouncer in transaction mode.',
    ),
    slowCallMs: setting(
      'DATABASE_SLOW_CALL',
      duration('1ms', '1h'),
      '250ms',
      'Where most reads take this long, calls are kept from the database for a while (circuit breaker): a hundred times what they take otherwise, and as long as one waits for a connection.',
    ),
    breakerOpenMs: setting(
      'DATABASE_BREAKER_OPEN',
      duration('1ms', '1h'),
      '500ms',
      'For how long they are kept from it, each time, until one is tried: short, since one call costs little, and all wait for its success.',
    ),
  },
  purge: {
    changeRetentionMs: setting(
      'CHANGE_RETENTION',
      duration('1h', '8760h'),
      '168h',
      'For how long changes are kept, so for how long a resume_token of WatchPosts is good: 7 days leave time for a weekend.',
    ),
    intervalMs: setting(
      'PURGE_INTERVAL',
      duration('100ms', '24h'),
      '10min',
      'About how often soft-deleted posts whose purge_time has come, old request ids and old changes are removed, in small batches. Lists are told then which scheduled posts have come due: pages stay exact, and cost more while thousands wait.',
    ),
  },
  cache: {
    nearBytes: setting(
      'CACHE_NEAR_BYTES',
      bytes('0B', '65536MiB'),
      '64MiB',
      'About how much memory the posts and lists take that this process remembers: with posts of 4 KB some 4,000. 0B: no cache at all, not in Redis either.',
    ),
    ttlMs: setting(
      'CACHE_TTL',
      duration('1ms', '24h'),
      '60s',
      'How long a post is remembered, up to a tenth less by chance. Writes are heard of at once, so this is the bound only where the change feed is cut off.',
    ),
    negativeTtlMs: setting(
      'CACHE_NEGATIVE_TTL',
      duration('1ms', '24h'),
      '5s',
      'The same for the answer that there is no such post: short, since anyone can ask for what is not there.',
    ),
    listTtlMs: setting(
      'CACHE_LIST_TTL',
      duration('1ms', '24h'),
      '5s',
      'The same for first pages of lists: short, since with the time alone scheduled posts become published ones.',
    ),
    staleIfErrorMs: setting(
      'CACHE_STALE_IF_ERROR',
      duration('0ms', '24h'),
      '10min',
      'For how much longer it is served, and marked as stale, while the database fails: about as long as a fail-over by hand takes.',
    ),
  },
  redis: {
    url: optional(
      'REDIS_URL',
      redisUrl(),
      'A cache that all instances share, as redis://user:password@host:6379/0, redis-sentinel://…@host1,host2/master/0 or redis-cluster://…@host1,host2; rediss for TLS. Unset: each remembers for itself.',
    ),
    timeoutMs: setting(
      'REDIS_TIMEOUT',
      duration('1ms', '1min'),
      '50ms',
      'How long a command to Redis may take before the call goes on without: a hundred times what it usually takes.',
    ),
  },
};
