import { Counter, collectDefaultMetrics, Gauge, type Metric, type OpenMetricsContentType, Registry } from 'prom-client';
import { createDatabaseMetrics, type DatabaseMetrics } from '#src/observability/database-metrics.ts';
import { DurationHistogram, OutcomeCounter } from '#src/observability/fast-metrics.ts';

/** Every metric of the service. Labels have few values: never a path, an id or text from a client. */
export interface Metrics extends DatabaseMetrics {
  /** An RPC ended. `traceId` must be set only if its trace is sampled. */
  readonly rpcEnded: (procedure: string, protocol: string, code: string, seconds: number, traceId?: string) => void;
  /** A request ended without becoming an RPC: it was refused, or a browser's preflight. `reason` is one of a fixed list. */
  readonly nonRpcEnded: (reason: string, status: number) => void;
  /** A connection to the public port was refused. `reason` is one of a fixed list. */
  readonly connectionRefused: (reason: string) => void;
  /** The service closed a connection to the public port, or aborted a response on it. `reason` is one of a fixed list. */
  readonly connectionEnded: (reason: string) => void;
  /** A connection to the public port was opened or closed. */
  readonly connectionsChanged: (by: 1 | -1) => void;
  /** A cache lookup ended. `tier` is near or shared, and `outcome` one of a fixed list. */
  readonly cacheAnswered: (tier: string, outcome: string) => void;
  /** A circuit breaker changed its state, to closed, half-open or open. */
  readonly breakerChanged: (dependency: string, state: string) => void;
  /** A call was shed at the front door, or before a dependency such as `primary-reads` or `primary-pool`. */
  readonly callShed: (where: string, criticality: string) => void;
  /** Adds the admission of a dependency, such as `primary-reads`. It is read each time metrics are rendered. */
  readonly watchAdmission: (where: string, state: () => AdmissionReading) => void;
  /** Adds readings. They are read each time metrics are rendered. */
  readonly readFrom: (readings: Readings) => void;
  /**
   * Renders all metrics in Prometheus' text format, or as OpenMetrics with exemplars if the client accepts it.
   *
   * @param accept the request's `Accept`.
   */
  readonly render: (accept?: string) => Promise<{ readonly contentType: string; readonly text: string }>;
}

/** How many calls to a dependency are allowed, in flight and queued. */
export interface AdmissionReading {
  readonly limit: number;
  readonly inFlight: number;
  readonly queued: number;
}

/** Functions that return the current value of a gauge. */
export interface Readings {
  /** Time since the change feed was last known to be current. */
  readonly feedLagSeconds?: () => number;
  readonly nearCacheBytes?: () => number;
  readonly nearCacheEntries?: () => number;
  /** Replicas that serve reads. */
  readonly replicasUsable?: () => number;
  /** Event loop delay. */
  readonly eventLoopDelaySeconds?: () => number;
  /** From 0, no call is shed, to 3. */
  readonly sheddingPressure?: () => number;
  /** Memory that large responses hold of their budget. */
  readonly largeAnswerBytes?: () => number;
  /** Log lines that were dropped. */
  readonly logLinesDropped?: () => number;
}

/**
 * Creates metrics with their own registry, so that several services can run in one process. Takes 5 ms.
 *
 * @param options.version the service's version, for `build_info`.
 */
export function createMetrics(options: { readonly version: string }): Metrics {
  const registry = new Registry();
  const registers = [registry];
  collectDefaultMetrics({ register: registry });
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]) =>
    new Counter({ name, help, labelNames, registers });
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Gauge({ name, help, labelNames, registers });

  const rpcDuration = new DurationHistogram(
    'rpc_server_duration_seconds',
    'Time from the arrival of the request header to the end of the response.',
    ['procedure', 'protocol', 'code'],
    RPC_BUCKETS,
  );
  const nonRpc = counter('http_non_rpc_requests_total', 'Requests that never became an RPC, by reason and status.', [
    'reason',
    'status',
  ]);
  const connections = gauge('http_connections', 'Open connections to the public port.');
  const refusedConnections = counter(
    'http_connections_refused_total',
    'Refused connections to the public port, by reason.',
    ['reason'],
  );
  const endedConnections = counter(
    'http_connections_ended_total',
    'Connections to the public port, or responses on them, that the service ended, by reason.',
    ['reason'],
  );
  const cacheAnswers = new OutcomeCounter('cache_answers_total', 'Cache lookups, by tier and outcome.', [
    'tier',
    'outcome',
  ]);
  for (const metric of [rpcDuration, cacheAnswers]) registry.registerMetric(metric as unknown as Metric);
  const breaker = gauge('circuit_breaker_state', 'State of the circuit breaker: 0 closed, 1 half open, 2 open.', [
    'dependency',
  ]);
  const breakers = new Set<string>();
  const breakerChanges = counter(
    'circuit_breaker_transitions_total',
    'State changes of the circuit breaker, by the new state.',
    ['dependency', 'state'],
  );
  const shedCalls = counter('admission_shed_total', 'Calls shed under load, by place and criticality.', [
    'where',
    'criticality',
  ]);
  gauge('build_info', 'Always 1. The labels give the versions of the service and of Node.', [
    'version',
    'node_version',
  ]).set({ version: options.version, node_version: process.version }, 1);
  const admissions = watchAdmissions(registers);

  return {
    ...createDatabaseMetrics(registers),
    rpcEnded: (...observation) => rpcDuration.observe(...observation),
    nonRpcEnded: (reason, status) => nonRpc.inc({ reason, status }),
    connectionRefused: reason => refusedConnections.inc({ reason }),
    connectionEnded: reason => endedConnections.inc({ reason }),
    connectionsChanged: by => connections.inc(by),
    cacheAnswered: (tier, outcome) => cacheAnswers.count(tier, outcome),
    breakerChanged: (dependency, state) => {
      breaker.set({ dependency }, ['closed', 'half-open', 'open'].indexOf(state));
      if (breakers.has(dependency)) breakerChanges.inc({ dependency, state });
      breakers.add(dependency);
    },
    callShed: (where, criticality) => shedCalls.inc({ where, criticality }),
    watchAdmission: (where, state) => admissions.set(where, state),
    readFrom: readings => registerReadings(registers, readings),
    render: async accept => {
      const wantsOpenMetrics = accept?.includes('application/openmetrics-text');
      const rendered = wantsOpenMetrics ? await openMetricsOf(registry) : registry;
      return { contentType: rendered.contentType, text: await rendered.metrics() };
    },
  };
}

/** @returns the admissions that are read, by dependency. The caller may add to it at any time. */
function watchAdmissions(registers: Registry[]): Map<string, () => AdmissionReading> {
  const admissions = new Map<string, () => AdmissionReading>();
  for (const [reading, name, help] of ADMISSION_READINGS) {
    const gauge: Gauge = new Gauge({
      ...{ name, help, registers, labelNames: ['where'] },
      collect: () => {
        for (const [where, read] of admissions) gauge.set({ where }, read()[reading]);
      },
    });
  }
  return admissions;
}

function registerReadings(registers: Registry[], readings: Readings): void {
  for (const [reading, name, help] of READINGS) {
    const read = readings[reading];
    if (read === undefined) continue;
    const gauge: Gauge = new Gauge({ name, help, registers, collect: () => gauge.set(read()) });
  }
}

/** Copies the current metrics for OpenMetrics, in which the name of a counter lacks the `_total` of its samples. */
async function openMetricsOf(registry: Registry): Promise<Registry<OpenMetricsContentType>> {
  const openMetrics = new Registry<OpenMetricsContentType>();
  openMetrics.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  const metrics = registry.getMetricsAsArray() as unknown as readonly ReadableMetric[];
  for (const read of await Promise.all(metrics.map(metric => metric.get()))) {
    const name = read.type === 'counter' ? read.name.replace(/_total$/, '') : read.name;
    const renamed: ReadableMetric & { readonly name: string } = { name, get: async () => ({ ...read, name }) };
    openMetrics.registerMetric(renamed as unknown as Metric);
  }
  return openMetrics;
}

/** The part of a metric that a registry reads. */
interface ReadableMetric {
  get(): Promise<{ readonly name: string; readonly type: string }>;
}

/** Seconds, from a cache hit to the default deadline. Few: each adds a series for every procedure, protocol and code. */
const RPC_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10];

const ADMISSION_READINGS: readonly (readonly [reading: keyof AdmissionReading, name: string, help: string])[] = [
  ['limit', 'admission_limit', 'Maximum number of calls in flight to a dependency.'],
  ['inFlight', 'admission_in_flight', 'Calls in flight to a dependency.'],
  ['queued', 'admission_queued', 'Calls that wait for admission to a dependency.'],
];

const READINGS: readonly (readonly [reading: keyof Readings, name: string, help: string])[] = [
  ['feedLagSeconds', 'feed_lag_seconds', 'Time since the change feed of posts was last known to be current.'],
  ['nearCacheBytes', 'cache_near_bytes', 'Approximate memory of the near cache.'],
  ['nearCacheEntries', 'cache_near_entries', 'Entries in the near cache.'],
  ['replicasUsable', 'db_replicas_usable', 'Replicas that serve reads.'],
  ['eventLoopDelaySeconds', 'event_loop_delay_seconds', 'Event loop delay.'],
  [
    'sheddingPressure',
    'load_shedding_pressure',
    'Load shedding for event loop delay, from 0 (no call is shed) to 3 (nearly all calls are).',
  ],
  ['largeAnswerBytes', 'large_answer_bytes', 'Memory that large responses hold of their budget (RESPONSE_BUDGET).'],
  ['logLinesDropped', 'log_lines_dropped', 'Log lines dropped because the reader of the log was too slow.'],
];
