import { z } from 'zod';
import { DATA_SETTINGS } from '#src/config/data-settings.ts';
import { PORT_SETTINGS } from '#src/config/port-settings.ts';
import { AllOrNone, optional, Setting, type SettingGroup, setting } from '#src/config/setting.ts';
import { bytes, duration, headerValue, integer } from '#src/config/setting-types.ts';

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;

/** Every setting, at its place in Config and in documented order. */
export const SETTINGS = {
  ...PORT_SETTINGS,
  requestMaxBytes: setting(
    'REQUEST_MAX_BYTES',
    bytes('1KiB', '64MiB'),
    '4MiB',
    'Maximum size of a request message, both as sent and after decompression. The default is that of gRPC.',
  ),
  compressMinBytes: setting(
    'COMPRESS_MIN_BYTES',
    bytes('0B', '64MiB'),
    '8KiB',
    'Responses of at least this size are compressed if the client accepts it. Smaller ones cost more to compress than to send.',
  ),
  responseBudgetBytes: setting(
    'RESPONSE_BUDGET',
    bytes('1MiB', '65536MiB'),
    '64MiB',
    'Maximum memory for all large answers (64 KiB or more) together, from the database to the client. Beyond it, large answers are refused (UNAVAILABLE, OVERLOADED); small ones are not. An answer whose client reads nothing for a second may be cut off to make room.',
  ),
  overloadDelayMs: setting(
    'OVERLOAD_DELAY',
    duration('1ms', '1h'),
    '25ms',
    'When the event-loop delay exceeds this, the server sheds calls (UNAVAILABLE, OVERLOADED), least critical first. The x-criticality header is sheddable, sheddable-plus, critical (the default) or critical-plus.',
  ),
  fastPath: setting(
    'FAST_PATH',
    z.stringbool('must be true or false'),
    'true',
    'Whether unary POST calls of Connect and gRPC take the fast path. If false, connect-node serves them. GET always takes the fast path.',
  ),
  cacheControl: {
    'blog.v1.PostService/GetPost': setting(
      'CACHE_CONTROL_GET_POST',
      headerValue,
      'no-cache',
      'Cache-Control of GetPost by GET. With no-cache, caches keep an answer but revalidate it each time (304). Alternative: public, max-age=5, stale-while-revalidate=60.',
    ),
    'blog.v1.PostService/BatchGetPosts': setting(
      'CACHE_CONTROL_BATCH_GET_POSTS',
      headerValue,
      'no-cache',
      'Cache-Control of BatchGetPosts by GET.',
    ),
    'blog.v1.PostService/ListPosts': setting(
      'CACHE_CONTROL_LIST_POSTS',
      headerValue,
      'no-cache',
      'Cache-Control of ListPosts by GET.',
    ),
  },
  deadline: {
    defaultMs: setting(
      'DEADLINE_DEFAULT',
      duration('1ms', '1h'),
      '10s',
      'Deadline of a call that sets none. It must not exceed DEADLINE_MAX.',
    ),
    maxMs: setting('DEADLINE_MAX', duration('1ms', '1h'), '60s', 'Maximum deadline. Longer ones are cut to this.'),
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
      z.enum(LOG_LEVELS, `must be one of ${LOG_LEVELS.join(', ')}`),
      'info',
      'Minimum level of logged lines: fatal, error, warn, info, debug, trace or silent.',
    ),
    format: optional(
      'LOG_FORMAT',
      z.enum(['json', 'pretty'], 'must be json or pretty'),
      'json or pretty. If unset: pretty on a terminal, json elsewhere.',
    ),
    accessRate: setting(
      'ACCESS_LOG_RATE',
      integer(0, 1_000_000),
      '100',
      'Maximum number of successful calls per second that are all logged. Beyond it, 1 in 512 is logged and marked as sampled. Other calls are always logged.',
    ),
  },
  pageTokenSecret: optional(
    'PAGE_TOKEN_SECRET',
    z.string().min(32, 'must have at least 32 characters'),
    'Secret key of the page tokens: at least 32 characters, the same on every instance. Required with DATABASE_URL; otherwise generated and kept in DATA_DIR. To make one: openssl rand -base64 32',
  ),
  shutdownDelayMs: setting(
    'SHUTDOWN_DELAY',
    duration('0ms', '10min'),
    '0ms',
    'After SIGTERM, how long calls are still accepted while /readyz and grpc.health.v1 report not ready. Set it to the time that balancers need to notice, such as 5s in Kubernetes.',
  ),
  shutdownGraceMs: setting(
    'SHUTDOWN_GRACE',
    duration('0ms', '1h'),
    '10s',
    'After SIGTERM or SIGINT, how long running calls may take to finish.',
  ),
};

/** Lists every setting in documented order. */
export function listSettings(group: SettingGroup = SETTINGS): Setting<unknown>[] {
  return Object.values(group).flatMap(entry => {
    if (entry instanceof Setting) return [entry];
    return listSettings(entry instanceof AllOrNone ? entry.settings : entry);
  });
}
