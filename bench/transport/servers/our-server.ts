/**
 * The service from the socket to the handler, composed as src/server.ts does it, with one post in memory in place of the
 * store. The settings are at their defaults; `--without STAGE` turns stages off, one by one.
 */
import { openSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { parseConfig } from '#src/config/config.ts';
import { BODY_TIMEOUT_MS } from '#src/http/guards/limits.ts';
import { startListener } from '#src/http/listener/listener.ts';
import { createShell } from '#src/http/shell.ts';
import { openLogOutput } from '#src/observability/log-output.ts';
import { createLogger } from '#src/observability/logger.ts';
import { createMetrics } from '#src/observability/metrics.ts';
import { EventLoopDelay } from '#src/resilience/event-loop-delay.ts';
import { LoadShedder } from '#src/resilience/load-shedder.ts';
import { UNBOUNDED } from '#src/rpc/adapter/deadline.ts';
import { createDispatch } from '#src/rpc/dispatch.ts';
import { loadShedding } from '#src/rpc/load-shedding.ts';
import { RequestValidator } from '#src/rpc/validation.ts';
import { announce } from './announce.ts';
import { inMemoryPosts } from './in-memory-posts.ts';

const { values } = parseArgs({
  options: {
    /** `access-log`, `metrics`, `admission`, `validation`, `deadline` or `fast-path`. */
    without: { type: 'string', multiple: true, default: [] },
    /** Pages of another origin may call. */
    cors: { type: 'boolean', default: false },
    /** Each call encodes its message, as where nothing is cached. */
    unfrozen: { type: 'boolean', default: false },
  },
});
const without = new Set(values.without);
const config = parseConfig({ PORT: '0', CORS_ORIGINS: values.cors ? 'https://app.example.com' : '' });

// Lines are written as in production, and to nowhere.
const { destination } = openLogOutput(openSync('/dev/null', 'w'));
const level = without.has('access-log') ? 'warn' : config.log.level;
const log = await createLogger({ level, format: 'json' }, destination);
const metrics = createMetrics({ version: 'bench' });
const validator = new RequestValidator();
validator.warm(PostService.methods.map(method => method.input));

const shedder = new LoadShedder({ targetMs: config.overloadDelayMs });
// Told of no delay: here calls come as fast as they are answered, and none is to be refused.
new EventLoopDelay(() => shedder.observe(0));
const admit = loadShedding(shedder, { exempt: new Set(), onShed: () => {} });
const deadline = without.has('deadline') ? UNBOUNDED : config.deadline;
const dispatch = createDispatch({
  routes: router => router.service(PostService, inMemoryPosts({ frozen: !values.unfrozen })),
  stages: {
    ...(without.has('admission') ? {} : { admit }),
    check: without.has('validation') ? () => {} : validator.check,
  },
  requestMaxBytes: config.requestMaxBytes,
  compressMinBytes: config.compressMinBytes,
  unary: { takesPost: !without.has('fast-path'), deadline, bodyTimeoutMs: BODY_TIMEOUT_MS, cacheControl: {} },
  shutdownSignal: new AbortController().signal,
});
const shell = createShell({
  dispatch,
  log,
  metrics: without.has('metrics') ? { rpcEnded: () => {}, nonRpcEnded: () => {} } : metrics,
  accessLogRate: config.log.accessRate,
  corsOrigins: config.corsOrigins,
  deadline,
  requestMaxBytes: config.requestMaxBytes,
});
const connections = { ...config.connections, maxAgeGraceMs: config.deadline.maxMs };
const listener = await startListener({ ...config.listen, shell, log, metrics, connections });
announce(listener.port);
