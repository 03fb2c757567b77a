import { type Metric, type OpenMetricsContentType, Registry } from 'prom-client';

/** What the metrics are now in the other format, in which a counter's name is without the `_total` of its values. */
export async function openMetricsOf(registry: Registry): Promise<Registry<OpenMetricsContentType>> {
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
