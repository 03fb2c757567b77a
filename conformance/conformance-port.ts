import { createRegistry } from '@bufbuild/protobuf';
import { parseConfig } from '#src/config/config.ts';
import { BODY_TIMEOUT_MS } from '#src/http/guards/limits.ts';
import { type Listener, type ListenerOptions, startListener } from '#src/http/listener/listener.ts';
import { createShell } from '#src/http/shell.ts';
import type { Logger } from '#src/observability/logger.ts';
import { createMetrics } from '#src/observability/metrics.ts';
import { createDispatch } from '#src/rpc/dispatch.ts';
import { explainFramingError } from '#src/rpc/error-mapping.ts';
import { RequestValidator } from '#src/rpc/validation.ts';
import { ConformanceServiceImpl } from './conformance-service.ts';
import { ConformanceService } from './gen/connectrpc/conformance/v1/service_pb.js';
import { toConformanceError, withoutDetails } from './requested-error.ts';

/**
 * Opens the public port on a free port of the loopback interface, built of the same parts as the service's own
 * (src/server.ts) and with the service's default settings. The conformance service stands behind it instead of the posts.
 */
export async function openConformancePort(options: ConformancePortOptions): Promise<Listener> {
  const { log } = options;
  const usual = parseConfig({});
  const requestMaxBytes = options.requestMaxBytes ?? usual.requestMaxBytes;
  // Calls tell in their answer what deadline they had, and are to have none where the client set none.
  const deadline = { ...usual.deadline, defaultMs: undefined };
  const dispatch = createDispatch({
    // The registry is for JSON, which needs the types of the requests that an answer holds as Any.
    routes: router => router.service(ConformanceService, new ConformanceServiceImpl(), { jsonOptions: { registry } }),
    stages: { check: new RequestValidator().check, translate: toConformanceError },
    requestMaxBytes,
    compressMinBytes: usual.compressMinBytes,
    unary: { takesPost: options.fastPath, deadline, bodyTimeoutMs: BODY_TIMEOUT_MS, cacheControl: {} },
    shutdownSignal: new AbortController().signal,
    protocolErrors: { translate: error => withoutDetails(explainFramingError(error)) },
  });
  const metrics = createMetrics({ version: 'conformance' });
  const shell = createShell({
    dispatch,
    log,
    metrics,
    corsOrigins: usual.corsOrigins,
    deadline,
    requestMaxBytes,
    streamPaths: STREAM_PATHS,
    bareRefusals: true,
  });
  const connections = { ...usual.connections, maxAgeGraceMs: usual.deadline.maxMs };
  return startListener({ host: '127.0.0.1', port: 0, tls: options.tls, shell, log, metrics, connections });
}

const registry = createRegistry(ConformanceService.file);

/** As in the service, whatever may stay open is no subject to a default deadline. */
const STREAM_PATHS = new Set(
  ConformanceService.methods
    .filter(({ methodKind }) => methodKind !== 'unary')
    .map(method => `/${ConformanceService.typeName}/${method.name}`),
);

export interface ConformancePortOptions {
  readonly log: Logger;
  /** PEM certificate and key; unset: clear text. */
  readonly tls: ListenerOptions['tls'];
  /** The most bytes of a request message; unset: the service's default. */
  readonly requestMaxBytes: number | undefined;
  /** Whether unary calls may take the fast path. */
  readonly fastPath: boolean;
}
