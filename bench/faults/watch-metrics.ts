import { setTimeout as delay } from 'node:timers/promises';

/** A value of a metric, and when it was read: `performance.now()`. */
export interface Sample {
  readonly at: number;
  readonly value: number;
}

/** Reads one series of a service's metrics over and over, as a scrape would. Disposing of it ends that. */
export function watchMetric(adminUrl: string, series: string, everyMs = 50) {
  const samples: Sample[] = [];
  const ending = new AbortController();
  const watching = (async () => {
    while (!ending.signal.aborted) {
      const value = await readMetric(adminUrl, series).catch(() => undefined);
      if (value !== undefined) samples.push({ at: performance.now(), value });
      await delay(everyMs, undefined, { signal: ending.signal }).catch(() => {});
    }
  })();
  return {
    samples,
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await watching;
    },
  };
}

/** The value of a series, such as `circuit_breaker_state{dependency="primary"}`; undefined: there is none. */
export async function readMetric(adminUrl: string, series: string): Promise<number | undefined> {
  return (await readMetrics(adminUrl, [series]))[series];
}

/** Several of one scrape; one that is not there is left out. */
export async function readMetrics(adminUrl: string, series: readonly string[]): Promise<Record<string, number>> {
  const lines = (await (await fetch(`${adminUrl}/metrics`)).text()).split('\n');
  const found = series.flatMap(name => {
    const line = lines.find(candidate => candidate.startsWith(`${name} `));
    return line === undefined ? [] : [[name, Number(line.slice(name.length + 1))] as const];
  });
  return Object.fromEntries(found);
}
