import type { CallRecord } from './ledger.ts';

/** One figure of a row, with its target. */
export interface Figure {
  readonly name: string;
  readonly value: string;
  readonly target: string;
  /** Undefined for a figure without a target, which is there to be compared with. */
  readonly isMet: boolean | undefined;
  /** The same figure of connect-node and pg alone, if that was run. */
  readonly bare?: string;
}

/** The figures, each beside the figure of the same name of another subject. */
export function beside(figures: readonly Figure[], bare: readonly Figure[]): Figure[] {
  const values = new Map(bare.map(({ name, value }) => [name, value]));
  return figures.map(figure => ({ ...figure, bare: values.get(figure.name) ?? '' }));
}

export function atMost(name: string, value: number, target: number, unit: string): Figure {
  return { name, value: format(value, unit), target: `<= ${target} ${unit}`, isMet: value <= target };
}

export function atLeast(name: string, value: number, target: number, unit: string): Figure {
  return { name, value: format(value, unit), target: `>= ${target} ${unit}`, isMet: value >= target };
}

export function none(name: string, value: number): Figure {
  return { name, value: String(value), target: '0', isMet: value === 0 };
}

export function toSee(name: string, value: string): Figure {
  return { name, value, target: '', isMet: undefined };
}

/** The calls that were due in this time, in milliseconds since the load began. */
export function between(records: readonly CallRecord[], fromMs: number, toMs: number): CallRecord[] {
  return records.filter(({ atMs }) => atMs >= fromMs && atMs < toMs);
}

/** The share of the calls that went well, in percent. */
export function successes(records: readonly CallRecord[]): number {
  return records.length === 0 ? 100 : (100 * records.filter(({ code }) => code === 'ok').length) / records.length;
}

/** A percentile of their durations, in milliseconds; 0 without calls. */
export function tookAt(records: readonly CallRecord[], share: number): number {
  const took = records.map(({ tookMs }) => tookMs).sort((a, b) => a - b);
  return took[Math.min(took.length - 1, Math.floor(took.length * share))] ?? 0;
}

/** `ok 512, unavailable 3`, the most frequent first. */
export function codesOf(records: readonly CallRecord[]): string {
  const counts = new Map<string, number>();
  for (const { code, isStale } of records) {
    const name = isStale ? `${code} (stale)` : code;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const sorted = [...counts].sort(([, a], [, b]) => b - a);
  return sorted.map(([name, count]) => `${name} ${count}`).join(', ');
}

function format(value: number, unit: string): string {
  return value === Number.POSITIVE_INFINITY ? 'never' : `${round(value)} ${unit}`.trim();
}

function round(value: number): number {
  return Number(value.toFixed(Math.abs(value) < 10 ? 2 : 1));
}
