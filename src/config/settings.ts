import { z } from 'zod';
import { DATA_SETTINGS } from '#src/config/data-settings.ts';
import { PORT_SETTINGS } from '#src/config/port-settings.ts';
import { AllOrNone, optional, Setting, type SettingGroup, setting } from '#src/config/setting.ts';
import { bytes, duration, headerValue, integer } from '#src/config/setting-types.ts';

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** Every setting at its place in Config, in the order in which they are documented. */
export const SETTINGS = {
  ...PORT_SETTINGS,
  requestMaxBytes: setting(
    'REQUEST_MAX_BYTES',
    bytes('1KiB', '64MiB'),
    '4MiB',
    "The most bytes of one request message, as sent and as inflated. 4 MiB is gRPC's own default for messages.",
  ),
  compressMinBytes: setting(
    'COMPRESS_MIN_BYTES',
    bytes('0B', '64MiB'),
    '8KiB',
    'From this size on a response is compressed, for a client that takes it. Smaller ones cost more to compress than to send.',
  ),
  responseBudgetBytes: setting(
    'RESPONSE_BUDGET',
    bytes('1MiB', '65536MiB'),
    '64MiB',
    'The most memory that large answers (from 64 KiB on) take together, from the database to their readers. Beyond it large ones are refused (UNAVAILABLE, OVERLOADED), and small ones are not. Of answers that wait for their readers, those that nothing is taken of for a second make room.',
  ),
  overloadDelayMs: setting(
    'OVERLOAD_DELAY',
    duration('1ms', '1h'),
    '25ms',
    'Where all that comes waits this long before anything is done for it, calls are refused (UNAVAILABLE, OVERLOADED), as many as it takes: those with x-criticality sheddable first, then sheddable-plus, critical (the default), critical-plus.',
  ),
  fastPath: setting(
    'FAST_PATH',
    z.stringbool('is neither true nor false'),
    'true',
    'Whether unary POSTs of Connect and gRPC take the fast path; otherwise they go through connect-node. GETs take it always.',
  ),
  cacheControl: {
    'blog.v1.PostService/GetPost': setting(
      'CACHE_CONTROL_GET_POST',
      headerValue,
      'no-cache',
      'Cache-Control of GetPost by GET. no-cache: caches keep an answer and ask each time whether it is current (304). Try: public, max-age=5, stale-while-revalidate=60.',
    ),
    'blog.v1.PostService/BatchGetPosts': setting(
      'CACHE_CONTROL_BATCH_GET_POSTS',
      headerValue,
      'no-cache',
      'The same for BatchGetPosts.',
    ),
    'blog.v1.PostService/ListPosts': setting(
      'CACHE_CONTROL_LIST_POSTS',
      headerValue,
      'no-cache',
      'The same for ListPosts.',
    ),
  },
  deadline: {
    defaultMs: setting('DEADLINE_DEFAULT', duration('1ms', '1h'), '10s', 'Deadline of calls that set none.'),
    maxMs: setting('DEADLINE_MAX', duration('1ms', '1h'), '60s', 'Longer deadlines are cut to this.'),
  },
  ...DATA_SETTINGS,
  dataDir: setting(
    'DATA_DIR',
    z.string(),
    '.data',
    'Folder of the embedded Postgres and of the generated page token secret.',
  ),
  log: {
    level: setting(
      'LOG_LEVEL',
      z.enum(LOG_LEVELS, `is none of ${LOG_LEVELS.join(', ')}`),
      'info',
      'The least level that is logged.',
    ),
    format: optional(
      'LOG_FORMAT',
      z.enum(['json', 'pretty'], 'is neither json nor pretty'),
      'json or pretty. Unset: pretty on a terminal, JSON elsewhere.',
    ),
    accessRate: setting(
      'ACCESS_LOG_RATE',
      integer(0, 1_000_000),
      '100',
      'Calls that went well are logged up to this many a second; beyond it 1 in 512, which says so. Others are always logged.',
    ),
  },
  pageTokenSecret: optional(
    'PAGE_TOKEN_SECRET',
    z.string().min(32, 'has fewer than 32 characters'),
    'Key of the page tokens, 32 characters or more, the same on every instance. Required with DATABASE_URL; otherwise generated and kept in DATA_DIR. Make one with: openssl rand -base64 32',
  ),
  shutdownDelayMs: setting(
    'SHUTDOWN_DELAY',
    duration('0ms', '10min'),
    '0ms',
    'For how long after SIGTERM calls are taken as before, with /readyz and grpc.health.v1 saying no: as long as it takes balancers to notice, such as 5s in Kubernetes.',
  ),
  shutdownGraceMs: setting(
    'SHUTDOWN_GRACE',
    duration('0ms', '1h'),
    '10s',
    'How long running calls may take to end after SIGTERM or SIGINT.',
  ),
};

/** Every setting, in the order in which they are documented. */
export function listSettings(group: SettingGroup = SETTINGS): Setting<unknown>[] {
  return Object.values(group).flatMap(entry => {
    if (entry instanceof Setting) return [entry];
    return listSettings(entry instanceof AllOrNone ? entry.settings : entry);
  });
}
