import type { ConnectRouter, ServiceImpl } from '@connectrpc/connect';
import { PostService } from '#gen/blog/v1/post_service_pb.js';
import { Health } from '#gen/grpc/health/v1/health_pb.js';
import type { ForwardedField } from '#src/http/clients/forwarded-client.ts';
import { createTrustedProxies } from '#src/http/clients/trusted-proxies.ts';
import { type Listener, type ListenerOptions, startListener } from '#src/http/listener/listener.ts';
import { createShell, type ShellOptions } from '#src/http/shell.ts';
import { createLogger } from '#src/observability/logger.ts';
import { createMetrics, type Metrics } from '#src/observability/metrics.ts';
import type { ByteBudget } from '#src/resilience/byte-budget.ts';
import { createDispatch } from '#src/rpc/dispatch.ts';
import { HealthService } from '#src/rpc/health.ts';
import { reflection } from '#src/rpc/reflection.ts';
import { LogLines } from '#test/support/log-lines.ts';

/** The public port as the service has it, in front of the handlers that a test gives. */
export interface PublicPort extends AsyncDisposable {
  readonly listener: Listener;
  readonly port: number;
  readonly url: string;
  readonly log: LogLines;
  readonly metrics: Metrics;
  /** The value of a counter or of a histogram's count, by the start of its line in the text format. */
  readonly metric: (line: string) => Promise<number>;
}

/** Opens the public port on a free port. */
export async function openPublicPort(options: PublicPortOptions = {}): Promise<PublicPort> {
  const log = new LogLines();
  const logger = await createLogger({ level: 'debug', format: 'json' }, log);
  const metrics = createMetrics({ version: '0.0.0' });
  const requestMaxBytes = options.requestMaxBytes ?? 4 * 1024 * 1024;
  const deadline = options.deadline ?? { defaultMs: 10_000, maxMs: 60_000 };
  const dispatch = createDispatch({
    routes: (router: ConnectRouter) => {
      router.service(PostService, options.posts ?? {});
      router.service(Health, new HealthService([PostService.typeName]));
      if (options.reflected) reflection(router, [PostService.file]);
    },
    stages: { check: () => {} },
    requestMaxBytes,
    compressMinBytes: options.compressMinBytes ?? 1024,
    unary: {
      takesPost: options.fastPath ?? true,
      deadline,
      bodyTimeoutMs: options.bodyTimeoutMs ?? 12_000,
      cacheControl: options.cacheControl ?? {},
    },
    ...(options.largeAnswers === undefined ? {} : { largeAnswers: options.largeAnswers }),
    shutdownSignal: options.shutdownSignal ?? new AbortController().signal,
  });
  const trustedProxies = createTrustedProxies(options.trustedProxies ?? []);
  const shell = createShell({
    dispatch,
    log: logger,
    metrics,
    corsOrigins: options.corsOrigins ?? [],
    ...(options.corsFields === undefined ? {} : { corsFields: options.corsFields }),
    clients: trustedProxies && {
      isTrusted: trustedProxies,
      field: options.forwardedField,
      perAddress: options.connections?.perAddress ?? 0,
    },
    deadline,
    requestMaxBytes,
    streamPaths: new Set([`/${Health.typeName}/Watch`]),
    ...(options.bodyTimeoutMs === undefined ? {} : { bodyTimeoutMs: options.bodyTimeoutMs }),
  });
  const listener = await startListener({
    host: '127.0.0.1',
    port: options.port ?? 0,
    tls: options.tls,
    shell,
    log: logger,
    metrics,
    connections: {
      perAddress: 0,
      max: 0,
      maxAgeMs: 0,
      maxAgeGraceMs: 60_000,
      idleTimeoutMs: 620_000,
      ...options.connections,
    },
    trustedProxies,
    proxyProtocol: options.proxyProtocol ?? false,
    ...(options.times === undefined ? {} : { times: options.times }),
  });
  const { port, url } = listener;
  const metric = async (line: string) => {
    const found = (await metrics.render()).text.split('\n').find(text => text.startsWith(`${line} `));
    return found === undefined ? 0 : Number(found.slice(line.length + 1));
  };
  return { listener, port, url, log, metrics, metric, [Symbol.asyncDispose]: () => listener[Symbol.asyncDispose]() };
}

export interface PublicPortOptions {
  /** Default: on. */
  readonly fastPath?: boolean;
  /** Cache-Control of answers to GET, by procedure. */
  readonly cacheControl?: Readonly<Record<string, string>>;
  readonly compressMinBytes?: number;
  readonly posts?: Partial<ServiceImpl<typeof PostService>>;
  /** Whether it tells its schema; default: no. */
  readonly reflected?: boolean;
  /** Default: all that they want. */
  readonly largeAnswers?: ByteBudget;
  readonly port?: number;
  readonly tls?: ListenerOptions['tls'];
  readonly corsOrigins?: readonly string[];
  readonly corsFields?: ShellOptions['corsFields'];
  /** CIDRs or addresses. */
  readonly trustedProxies?: readonly string[];
  readonly forwardedField?: ForwardedField;
  readonly proxyProtocol?: boolean;
  readonly deadline?: ShellOptions['deadline'];
  readonly requestMaxBytes?: number;
  readonly bodyTimeoutMs?: number;
  readonly connections?: Partial<ListenerOptions['connections']>;
  readonly times?: ListenerOptions['times'];
  /** Aborted when calls that run are to be told that the server ends. */
  readonly shutdownSignal?: AbortSignal;
}
