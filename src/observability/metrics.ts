import { Counter, collectDefaultMetrics, Gauge, type Metric, type OpenMetricsContentType, Registry } from 'prom-client';
import { createDatabaseMetrics, type DatabaseMetrics } from '#src/observability/database-metrics.ts';
import { DurationHistogram, OutcomeCounter } from '#src/observability/fast-metrics.ts';

/** Every metric of the service. Labels take few values: never a path, an id or a client's text. */
export interface Metrics extends DatabaseMetrics {
  /** An RPC ended. `traceId` is that of a trace that is kept. */
  readonly rpcEnded: (procedure: string, protocol: string, code: string, seconds: number, traceId?: string) => void;
  /** A request ended that never became an RPC: refused, or a browser's preflight. `reason` is one of a fixed list. */
  readonly nonRpcEnded: (reason: string, status: number) => void;
  /** A connection of the public port was refused. `reason` is one of a fixed list, as below. */
  readonly connectionRefused: (reason: string) => void;
  /** A connection of the public port, or one response on it, was ended by us, and not because its call had ended. */
  readonly connectionEnded: (reason: string) => void;
  /** How many connections of the public port there are, by one more or less. */
  readonly connectionsChanged: (by: 1 | -1) => void;
  /** A look into the cache ended. `tier` is near or shared, `outcome` one of a fixed list. */
  readonly cacheAnswered: (tier: string, outcome: string) => void;
  /** A circuit breaker has a new state: closed, half-open or open. */
  readonly breakerChanged: (dependency: string, state: string) => void;
  /** A call was refused so that others are served: in front, or in front of a dependency, such as `primary-reads` or `primary-pool`. */
  readonly callShed: (where: string, criticality: string) => void;
  /** Where to look for what is admitted to a dependency, such as `primary-reads`, each time that metrics are rendered. */
  readonly watchAdmission: (where: string, state: () => AdmissionReading) => void;
  /** Where to look, each time that metrics are rendered. */
  readonly readFrom: (readings: Readings) => void;
  /**
   * All metrics in Prometheus' text format, or in that of OpenMetrics, with exemplars, for who accepts it.
   *
   * @param accept the field of the request.
   */
  readonly render: (accept?: string) => Promise<{ readonly contentType: string; readonly text: string }>;
}

/** How many calls may be in flight, are, and wait. */
export interface AdmissionReading {
  readonly limit: number;
  readonly inFlight: number;
  readonly queued: number;
}

/** What has a value at each moment. */
export interface Readings {
  /** For how long nothing is known of changes of posts. */
  readonly feedLagSeconds?: () => number;
  readonly nearCacheBytes?: () => number;
  readonly nearCacheEntries?: () => number;
  /** Replicas that are read from now. */
  readonly replicasUsable?: () => number;
  /** How late the event loop is. */
  readonly eventLoopDelaySeconds?: () => number;
  /** From 0, nothing is refused, to 3. */
  readonly sheddingPressure?: () => number;
  /** Memory that large answers have taken of their budget. */
  readonly largeAnswerBytes?: () => number;
  /** Lines of the log that were dropped. */
  readonly logLinesDropped?: () => number;
}

/**
 * Metrics with a registry of their own, so that several services can live in one process. Costs 5 ms.
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
    'Time from the arrival of the head of a request to the end of its response.',
    ['procedure', 'protocol', 'code'],
    RPC_BUCKETS,
  );
  const nonRpc = counter('http_non_rpc_requests_total', 'Requests that never became an RPC, by the reason.', [
    'reason',
    'status',
  ]);
  const connections = gauge('http_connections', 'Open connections of the public port.');
  const refusedConnections = counter(
    'http_connections_refused_total',
    'Connections of the public port that were refused, by the reason.',
    ['reason'],
  );
  const endedConnections = counter(
    'http_connections_ended_total',
    'Connections of the public port that the service ended, by the reason.',
    ['reason'],
  );
  const cacheAnswers = new OutcomeCounter(
    'cache_answers_total',
    'Looks into the cache, by its tier and by how they ended.',
    ['tier', 'outcome'],
  );
  for (const metric of [rpcDuration, cacheAnswers]) registry.registerMetric(metric as unknown as Metric);
  const breaker = gauge(
    'circuit_breaker_state',
    '0: closed, calls pass. 1: half open, one call is tried. 2: open, calls fail at once.',
    ['dependency'],
  );
  const breakers = new Set<string>();
  const breakerChanges = counter(
    'circuit_breaker_transitions_total',
    'Changes of the state of a circuit breaker, by the new one.',
    ['dependency', 'state'],
  );
  const shedCalls = counter(
    'admission_shed_total',
    'Calls that were refused so that others are served, by where and by how much they matter.',
    ['where', 'criticality'],
  );
  gauge('build_info', 'Always 1; the labels say what runs.', ['version', 'node_version']).set(
    { version: options.version, node_version: process.version },
    1,
  );
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

/** @returns where to look, by the name of the dependency; it may be added to at any time. */
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

/** What the metrics are now in the other format, in which a counter's name is without the `_total` of its values. */
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

/** What a registry asks its metrics for. */
interface ReadableMetric {
  get(): Promise<{ readonly name: string; readonly type: string }>;
}

/** From a cache hit to the default deadline, in seconds. Few, since each is a series for each procedure, protocol and code. */
const RPC_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5, 10];

const ADMISSION_READINGS: readonly (readonly [reading: keyof AdmissionReading, name: string, help: string])[] = [
  ['limit', 'admission_limit', 'How many calls may be in flight to a dependency at once.'],
  ['inFlight', 'admission_in_flight', 'Calls that are in flight to a dependency.'],
  ['queued', 'admission_queued', 'Calls that wait until there is room.'],
];

const READINGS: readonly (readonly [reading: keyof Readings, name: string, help: string])[] = [
  ['feedLagSeconds', 'feed_lag_seconds', 'For how long nothing is known of changes of posts.'],
  ['nearCacheBytes', 'cache_near_bytes', 'About how much memory the cache of this process takes.'],
  ['nearCacheEntries', 'cache_near_entries', 'How many answers the cache of this process holds.'],
  ['replicasUsable', 'db_replicas_usable', 'Replicas that are read from now.'],
  ['eventLoopDelaySeconds', 'event_loop_delay_seconds', 'How long what comes waits before anything is done for it.'],
  [
    'sheddingPressure',
    'load_shedding_pressure',
    '0: no call is refused for the delay of the event loop. 3: nearly all are.',
  ],
  ['largeAnswerBytes', 'large_answer_bytes', 'Memory that large answers have taken of their budget (RESPONSE_BUDGET).'],
  ['logLinesDropped', 'log_lines_dropped', 'Lines of the log that were dropped, since its reader was too slow.'],
];
