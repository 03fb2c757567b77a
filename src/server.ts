import { readFile } from 'node:fs/promises';
import { PostSchema } from '#gen/blog/v1/post_pb.js';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { Health } from '#gen/grpc/health/v1/health_pb.js';
import packageJson from '#package.json' with { type: 'json' };
import { startAdminServer } from '#src/admin/admin-server.ts';
import { checkParts, Readiness } from '#src/admin/readiness.ts';
import { createReports } from '#src/admin/reports.ts';
import type { Config } from '#src/config/config.ts';
import { loadOrCreateTokenSecret } from '#src/config/token-secret.ts';
import { PrimaryHost } from '#src/db/connection/primary-host.ts';
import { runText } from '#src/db/database.ts';
import { openPrimary, openReplicas } from '#src/db/open-database.ts';
import type { ProvidedDatabase } from '#src/embedded/provide-database.ts';
import { createTrustedProxies } from '#src/http/clients/trusted-proxies.ts';
import { BODY_TIMEOUT_MS } from '#src/http/guards/limits.ts';
import { type Listener, startListener } from '#src/http/listener/listener.ts';
import { createShell } from '#src/http/shell.ts';
import type { Logger } from '#src/observability/logger.ts';
import { createMetrics, type Metrics } from '#src/observability/metrics.ts';
import { PostServiceImpl } from '#src/posts/api/post-service.ts';
import { openPostCache } from '#src/posts/cache/open-post-cache.ts';
import { CATCH_UPS_AT_ONCE } from '#src/posts/feed/catch-ups.ts';
import { ChangeFeed } from '#src/posts/feed/change-feed.ts';
import { PostWatches } from '#src/posts/feed/post-watches.ts';
import { PostgresPostStore } from '#src/posts/store/postgres-post-store.ts';
import { PurgeJob } from '#src/posts/store/purge-job.ts';
import { OverloadProtection } from '#src/resilience/overload-protection.ts';
import { createDispatch, type Dispatch } from '#src/rpc/dispatch.ts';
import { HealthService } from '#src/rpc/health.ts';
import { loadShedding } from '#src/rpc/load-shedding.ts';
import { reflection } from '#src/rpc/reflection.ts';
import { RequestValidator } from '#src/rpc/validation.ts';
import { Shutdown } from '#src/shutdown.ts';

/** The running service. Disposing of it drains the calls and closes everything. */
export interface Server extends AsyncDisposable {
  /** URL of the public port, such as `http://127.0.0.1:8080`. */
  readonly url: string;
  /** URL of the admin port. */
  readonly adminUrl: string;
  /** When each phase of the start ended, in milliseconds since the process began. */
  readonly phases: Readonly<Record<string, number>>;
}

/**
 * Builds the service from the database up to the public port, and opens it.
 *
 * @param database owned by the service from now on. It is disposed of with the service, or when the start fails.
 * @param droppedLogLines number of dropped log lines, for the metrics.
 * @throws if the database can't be reached, has another schema, or a port can't be opened. Everything opened until then is closed.
 */
export async function startServer(
  config: Config,
  log: Logger,
  database: ProvidedDatabase,
  droppedLogLines: () => number = () => 0,
): Promise<Server> {
  const phases: Record<string, number> = {};
  const endPhase = (phase: string) => {
    phases[phase] = Math.round(performance.now());
  };
  endPhase('loaded');
  await using parts = new AsyncDisposableStack();

  parts.use(database);
  const metrics = createMetrics({ version: packageJson.version });
  const primaryHost = parts.use(new PrimaryHost(database.url, log));
  const opening = openPrimary(primaryHost, config.database, CATCH_UPS_AT_ONCE, log, metrics);
  const validator = new RequestValidator(message => posts.tokenFaults(message));
  // Compiling the rules takes some 75 ms, which the first calls would wait for. The database answers meanwhile.
  validator.warm([...PostService.methods.map(method => method.input), PostSchema]);
  const primary = parts.use(await opening);
  const connectionsOpened = primary.opened(OPENING_WAIT_MS);
  endPhase('database');

  const secret = config.pageTokenSecret ?? (await loadOrCreateTokenSecret(config.dataDir));
  const feed = parts.use(
    new ChangeFeed(primaryHost, log, {
      onNewEra: primary.renew,
      announceElsewhere: (text, values) => runText(primary.db, text, values),
      preparesStatements: config.database.preparedStatements,
    }),
  );
  const { set: replicaSet, replicas } = openReplicas(config.database, primary.reads, feed, log, metrics);
  parts.use(replicaSet);
  const { shedder, largeAnswers } = parts.use(new OverloadProtection(config, metrics));
  metrics.readFrom({
    feedLagSeconds: () => feed.lagMs / 1000,
    replicasUsable: () => replicaSet.usable,
    logLinesDropped: droppedLogLines,
  });

  const { db, pool, policy } = primary;
  const onCommit = () => feed.announce();
  const store = new PostgresPostStore(db, { onCommit, reads: replicaSet, statements: pool, policy, largeAnswers });
  const isQueueing = () => [primary, ...replicas].some(({ policy }) => policy.queued('read') > 0);
  // The cache hears of a change before the watches do, so that a watcher that reads a changed post finds no older one.
  const cache = parts.use(await openPostCache(store, config, { feed, log, metrics, secret, isQueueing }));
  const watches = new PostWatches(feed, primary.catchUps, {
    isBusy: () => Object.values(policy.state.admissions).some(({ queued }) => queued > 0),
    isOverloaded: () => shedder.isShedding,
    onShed: () => metrics.callShed('catch-ups', 'sheddable'),
  });
  metrics.watchAdmission('catch-ups', () => watches.catchUps);
  const posts = new PostServiceImpl(cache.store, watches, secret, feed);
  parts.use(new PurgeJob(db, config.purge, log));

  const health = new HealthService([PostService.typeName]);
  const shutdown = new Shutdown(config);
  const onShed = (criticality: string) => metrics.callShed('front', criticality);
  const admit = loadShedding(shedder, { exempt: new Set([Health.typeName]), onShed });
  const dispatch = createDispatch({
    routes: router => {
      router.service(PostService, posts);
      router.service(Health, health);
      reflection(router, [PostService.file, Health.file]);
    },
    stages: { admit, check: validator.check },
    ...{ requestMaxBytes: config.requestMaxBytes, compressMinBytes: config.compressMinBytes },
    unary: unaryOptionsOf(config),
    ...{ largeAnswers, shutdownSignal: shutdown.signal },
  });
  endPhase('built');

  let isStarted = false;
  const checked = { primary: pool, replicas: replicaSet, cache, isStopping: () => shutdown.hasBegun };
  const check = () => checkParts(checked, config.readinessRequiresDatabase);
  const readiness = parts.use(new Readiness(check, isReady => health.set(isReady)));
  const reports = createReports({ config, primaryHost, primary, replicas, replicaSet, cache, shedder });
  const adminOptions = { ...config.admin, metrics, readiness, isStarted: () => isStarted, logLevel: log, reports };
  const admin = parts.use(await startAdminServer(adminOptions));
  await connectionsOpened;
  const listener = await openPublicPort(config, dispatch, log, metrics);
  parts.defer(() => shutdown.drain(listener, health, watches));
  endPhase('listening');
  isStarted = true;
  const closing = parts.move();
  return { url: listener.url, adminUrl: admin.url, phases, [Symbol.asyncDispose]: () => closing.disposeAsync() };
}

function unaryOptionsOf({ fastPath, deadline, cacheControl }: Config) {
  return { takesPost: fastPath, deadline, bodyTimeoutMs: BODY_TIMEOUT_MS, cacheControl };
}

async function openPublicPort(config: Config, dispatch: Dispatch, log: Logger, metrics: Metrics): Promise<Listener> {
  const { connections, proxies, deadline } = config;
  const trustedProxies = createTrustedProxies(proxies.trusted);
  const shell = createShell({
    dispatch,
    log,
    metrics,
    accessLogRate: config.log.accessRate,
    corsOrigins: config.corsOrigins,
    corsFields: config.corsFields,
    clients: trustedProxies && {
      isTrusted: trustedProxies,
      field: proxies.field,
      perAddress: connections.perAddress,
    },
    deadline,
    requestMaxBytes: config.requestMaxBytes,
    streamPaths: streamPathsOf(dispatch),
  });
  return startListener({
    ...config.listen,
    tls: await readTls(config.tls),
    shell,
    log,
    metrics,
    connections: { ...connections, maxAgeGraceMs: deadline.maxMs },
    trustedProxies,
    proxyProtocol: proxies.protocol,
  });
}

/** A stream stays open as long as its client wants, so it gets no default deadline. */
function streamPathsOf({ routes }: Dispatch): ReadonlySet<string> {
  return new Set([...routes].filter(([, route]) => !route.isUnary).map(([path]) => path));
}

async function readTls(files: Config['tls']) {
  if (files === undefined) return undefined;
  const [cert, key] = await Promise.all([readFile(files.certFile), readFile(files.keyFile)]);
  return { cert, key };
}

/** Connections take this long to open on a busy machine. The service works without them. */
const OPENING_WAIT_MS = 250;
