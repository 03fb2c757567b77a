import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { PostSchema } from '#gen/blog/v1/post_pb.js';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { Health } from '#gen/grpc/health/v1/health_pb.js';
import { ServerReflection } from '#gen/grpc/reflection/v1/reflection_pb.js';
import { ServerReflection as ServerReflectionAlpha } from '#gen/grpc/reflection/v1alpha/reflection_pb.js';
import packageJson from '#package.json' with { type: 'json' };
import { startAdminServer } from '#src/admin/admin-server.ts';
import { Readiness } from '#src/admin/readiness.ts';
import { redactConfig } from '#src/admin/redacted-config.ts';
import type { Config } from '#src/config/config.ts';
import { loadOrCreateTokenSecret } from '#src/config/token-secret.ts';
import { PrimaryHost } from '#src/db/connection/primary-host.ts';
import { runText } from '#src/db/database.ts';
import { pingDatabase } from '#src/db/migrations/schema-version.ts';
import { openPrimary } from '#src/db/open-primary.ts';
import { openReplicas } from '#src/db/open-replicas.ts';
import type { ProvidedDatabase } from '#src/embedded/provide-database.ts';
import { createTrustedProxies } from '#src/http/clients/trusted-proxies.ts';
import { BODY_TIMEOUT_MS } from '#src/http/guards/limits.ts';
import { startListener } from '#src/http/listener/listener.ts';
import { createShell } from '#src/http/shell.ts';
import type { Logger } from '#src/observability/logger.ts';
import { createMetrics } from '#src/observability/metrics.ts';
import { PostServiceImpl } from '#src/posts/api/post-service.ts';
import { type CacheState, openPostCache } from '#src/posts/cache/open-post-cache.ts';
import { CATCH_UPS_AT_ONCE } from '#src/posts/feed/catch-ups.ts';
import { ChangeFeed } from '#src/posts/feed/change-feed.ts';
import { PostWatches } from '#src/posts/feed/post-watches.ts';
import { PostgresPostStore } from '#src/posts/store/postgres-post-store.ts';
import { PurgeJob } from '#src/posts/store/purge-job.ts';
import { ByteBudget } from '#src/resilience/byte-budget.ts';
import { EventLoopDelay } from '#src/resilience/event-loop-delay.ts';
import { createLargeGarbage } from '#src/resilience/large-garbage.ts';
import { LoadShedder } from '#src/resilience/load-shedder.ts';
import { createDispatch } from '#src/rpc/dispatch.ts';
import { unavailable } from '#src/rpc/error-mapping.ts';
import { HealthService } from '#src/rpc/health.ts';
import { loadShedding } from '#src/rpc/load-shedding.ts';
import { reflection } from '#src/rpc/reflection.ts';
import { RequestValidator } from '#src/rpc/validation.ts';

/** The running service. Disposing of it drains it: calls end or are ended, and everything is closed. */
export interface Server extends AsyncDisposable {
  /** Of the public port, such as `http://127.0.0.1:8080`. */
  readonly url: string;
  /** Of the operators' port. */
  readonly adminUrl: string;
  /** Where the start spent its time, in milliseconds since the process began, at the end of each phase. */
  readonly phases: Readonly<Record<string, number>>;
}

/**
 * Builds the service out of its parts, from the database up to the port, and opens it.
 *
 * @param database belongs to the service from now on, which disposes of it at its end, or where the start fails.
 * @param droppedLogLines how many lines of the log were dropped, for the metrics.
 * @throws where a part can't be had: the database, its schema, a port. What was opened until then is closed again.
 */
export async function startServer(
  config: Config,
  log: Logger,
  database: ProvidedDatabase,
  droppedLogLines: () => number = () => 0,
): Promise<Server> {
  const phases: Record<string, number> = {};
  const reached = (phase: string) => {
    phases[phase] = Math.round(performance.now());
  };
  reached('loaded');
  await using parts = new AsyncDisposableStack();

  parts.use(database);
  const metrics = createMetrics({ version: packageJson.version });
  const primaryHost = parts.use(new PrimaryHost(database.url, log));
  const opening = openPrimary(primaryHost, config.database, CATCH_UPS_AT_ONCE, log, metrics);
  const validator = new RequestValidator(message => posts.tokenFaults(message));
  // Some 75 ms of work, which the first calls would wait for: done while the database is asked for its schema.
  validator.warm([...PostService.methods.map(method => method.input), PostSchema]);
  const primary = parts.use(await opening);
  const opened = primary.opened(OPENING_WAIT_MS);
  reached('database');

  const secret = config.pageTokenSecret ?? (await loadOrCreateTokenSecret(config.dataDir));
  const announceElsewhere = (text: string, values: readonly unknown[]) => runText(primary.db, text, values);
  const feed = parts.use(
    new ChangeFeed(primaryHost, log, {
      onNewEra: primary.renew,
      announceElsewhere,
      preparesStatements: config.database.preparedStatements,
    }),
  );
  const { set: replicas, replicas: eachReplica } = openReplicas(config.database, primary.reads, feed, log, metrics);
  parts.use(replicas);
  const shedder = new LoadShedder({ targetMs: config.overloadDelayMs });
  const loopDelay = parts.use(new EventLoopDelay(delayMs => shedder.observe(delayMs)));
  const largeAnswers = new ByteBudget({
    maxBytes: config.responseBudgetBytes,
    now: () => performance.now(),
    onRefused: criticality => metrics.callShed('large-answers', criticality),
    onStalled: () => metrics.connectionEnded('STALLED'),
    onGivenBack: createLargeGarbage(),
  });
  metrics.readFrom({
    largeAnswerBytes: () => largeAnswers.taken,
    feedLagSeconds: () => feed.lagMs / 1000,
    replicasUsable: () => replicas.usable,
    eventLoopDelaySeconds: () => loopDelay.ms / 1000,
    sheddingPressure: () => shedder.pressure,
    logLinesDropped: droppedLogLines,
  });
  const store = new PostgresPostStore(primary.db, {
    onCommit: () => feed.announce(),
    reads: replicas,
    statements: primary.pool,
    policy: primary.policy,
    largeAnswers,
  });
  const isQueueing = () => [primary, ...eachReplica].some(({ policy }) => policy.queued('read') > 0);
  // Before the watches, so that who is told of a change reads nothing older.
  const cache = parts.use(await openPostCache(store, config, { feed, log, metrics, secret, isQueueing }));
  const watches = new PostWatches(feed, primary.catchUps, {
    isBusy: () => Object.values(primary.policy.state.admissions).some(({ queued }) => queued > 0),
    isOverloaded: () => shedder.isShedding,
    onShed: () => metrics.callShed('catch-ups', 'sheddable'),
  });
  metrics.watchAdmission('catch-ups', () => watches.catchUps);
  const posts = new PostServiceImpl(cache.store, watches, secret, feed);
  parts.use(new PurgeJob(primary.db, config.purge, log));
  const health = new HealthService([PostService.typeName]);
  const shutdown = new AbortController();
  const dispatch = createDispatch({
    routes: router => {
      router.service(PostService, posts);
      router.service(Health, health);
      reflection(router, [PostService.file, Health.file]);
    },
    stages: {
      admit: loadShedding(shedder, {
        exempt: new Set([Health.typeName]),
        onShed: criticality => metrics.callShed('front', criticality),
      }),
      check: validator.check,
    },
    requestMaxBytes: config.requestMaxBytes,
    compressMinBytes: config.compressMinBytes,
    unary: {
      takesPost: config.fastPath,
      deadline: config.deadline,
      bodyTimeoutMs: BODY_TIMEOUT_MS,
      cacheControl: config.cacheControl,
    },
    largeAnswers,
    shutdownSignal: shutdown.signal,
  });
  const trustedProxies = createTrustedProxies(config.proxies.trusted);
  const shell = createShell({
    dispatch,
    log,
    metrics,
    accessLogRate: config.log.accessRate,
    corsOrigins: config.corsOrigins,
    corsFields: config.corsFields,
    clients: trustedProxies && {
      isTrusted: trustedProxies,
      field: config.proxies.field,
      perAddress: config.connections.perAddress,
    },
    deadline: config.deadline,
    requestMaxBytes: config.requestMaxBytes,
    streamPaths: STREAM_PATHS,
  });
  reached('built');

  const progress = { isStarted: false, isStopping: false };
  const readiness = parts.use(
    new Readiness(
      async () => {
        const answers = await pingDatabase(primary.pool);
        const isEnough = answers || (!config.readinessRequiresDatabase && cache.canServeStale());
        const checks = {
          accepting: !progress.isStopping,
          database: answers,
          ...replicas.state,
          ...redisCheck(cache.state()),
        };
        return { isReady: !progress.isStopping && isEnough, checks };
      },
      isReady => health.set(isReady),
    ),
  );
  const admin = await startAdminServer({
    ...config.admin,
    metrics,
    readiness,
    isStarted: () => progress.isStarted,
    logLevel: log,
    reports: {
      '/configz': () => redactConfig(config),
      '/breakerz': () => ({
        primary: primary.policy.state,
        replicas: Object.fromEntries(eachReplica.map(({ name, policy }) => [name, policy.state])),
        redis: cache.state().redis,
        sheddingPressure: shedder.pressure,
      }),
      '/poolz': () => ({
        primary: primaryHost.server,
        pool: primary.pool.state,
        held: primary.pool.heldConnections,
        lanes: primary.lanes.state,
        replicas: Object.fromEntries(
          eachReplica.map(({ name, pool, lanes }) => [
            name,
            { isReadFrom: replicas.state[name], pool: pool.state, held: pool.heldConnections, lanes: lanes.state },
          ]),
        ),
      }),
    },
  });
  parts.use(admin);
  await opened;
  const listener = await startListener({
    ...config.listen,
    tls: await readTls(config.tls),
    shell,
    log,
    metrics,
    connections: { ...config.connections, maxAgeGraceMs: config.deadline.maxMs },
    trustedProxies,
    proxyProtocol: config.proxies.protocol,
  });
  parts.defer(async () => {
    // Balancers stop sending calls first: those that come until then are answered.
    progress.isStopping = true;
    health.set(false);
    await sleep(config.shutdownDelayMs);
    health.stop();
    watches.stop();
    // At the end of the grace what still runs is told so, and has a moment to pass it on before it is cut off.
    const graceEnd = setTimeout(() => shutdown.abort(shutdownError()), config.shutdownGraceMs);
    await listener.close(config.shutdownGraceMs + LAST_WORDS_MS);
    clearTimeout(graceEnd);
  });
  reached('listening');
  progress.isStarted = true;
  const closing = parts.move();
  return {
    url: listener.url,
    adminUrl: admin.url,
    phases,
    [Symbol.asyncDispose]: () => closing.disposeAsync(),
  };
}

function redisCheck({ redis }: CacheState): Readonly<Record<string, boolean | string>> {
  return redis === undefined ? {} : { redis: redis === 'closed' || `circuit ${redis}` };
}

async function readTls(files: Config['tls']) {
  if (files === undefined) return undefined;
  const [cert, key] = await Promise.all([readFile(files.certFile), readFile(files.keyFile)]);
  return { cert, key };
}

function shutdownError() {
  return unavailable('the server is shutting down', 'SHUTTING_DOWN');
}

/** As long as connections take to open on a machine that starts everything else at the same time; the service is well without. */
const OPENING_WAIT_MS = 250;
/** Enough for an answer to leave for a client that reads. */
const LAST_WORDS_MS = 500;
/** What stays open for as long as the client wants: no deadline is set for it. */
const STREAM_PATHS = new Set([
  `/${PostService.typeName}/WatchPosts`,
  `/${Health.typeName}/Watch`,
  ...[ServerReflection, ServerReflectionAlpha].map(service => `/${service.typeName}/ServerReflectionInfo`),
]);
