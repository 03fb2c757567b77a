import { drawBarChart } from './bar-chart.ts';
import { formatMachine, type Machine } from './machine.ts';
import { formatQuartiles, type Quartiles } from './quartiles.ts';
import { markdownTable } from './results.ts';

/** All that the scenario `startup` found. */
export interface StartupResult {
  readonly machine: Machine;
  readonly runs: number;
  readonly kinds: readonly {
    readonly kind: string;
    /** From spawn to the `ready` event. */
    readonly readyMs: Quartiles;
    readonly rssMiB: Quartiles;
    /** Medians, in milliseconds since the process began, at the end of each phase. */
    readonly phases: Readonly<Record<string, number>>;
  }[];
}

/** What took longer, or holds more memory, than it may. */
export function missedTargets({ kinds }: StartupResult): string[] {
  return kinds.flatMap(({ kind, readyMs, rssMiB }, i) => [
    ...(readyMs.median < (MOST_MS[i] ?? 0) ? [] : [`${kind}: ready after ${readyMs.median.toFixed(0)} ms`]),
    ...(toMB(rssMiB.median) < MOST_RSS_MB ? [] : [`${kind}: ${toMB(rssMiB.median).toFixed(0)} MB when idle`]),
  ]);
}

export function startupReport(result: StartupResult): string {
  const { machine, runs, kinds } = result;
  const phases = Object.keys(kinds[0]?.phases ?? {});
  const missed = missedTargets(result);
  return `# Start-up

${formatMachine(machine)}

From the spawn of \`npm start\`'s command until its \`ready\` event is read, ${runs} starts of each kind that take turns, with a warm compile
cache; median (quartiles). RSS is that of the service's own process after 5 s without a call, in MB of 10^6 bytes.

${missed.length === 0 ? 'Every target is met.' : `Missed:\n${missed.map(line => `- ${line}`).join('\n')}`}

![Time to ready](startup.svg)

${markdownTable(
  ['start', 'ready, ms', 'target', 'idle RSS, MB', 'target'],
  kinds.map(({ kind, readyMs, rssMiB }, i) => [
    kind,
    formatQuartiles(readyMs, 0),
    `< ${MOST_MS[i]}`,
    formatQuartiles({ q1: toMB(rssMiB.q1), median: toMB(rssMiB.median), q3: toMB(rssMiB.q3) }, 0),
    `< ${MOST_RSS_MB}`,
  ]),
)}

Where the time goes: medians of the milliseconds since the process began, at the end of each phase.

${markdownTable(
  ['start', ...phases],
  kinds.map(kind => [kind.kind, ...phases.map(phase => String(Math.round(kind.phases[phase] ?? Number.NaN)))]),
)}
`;
}

export function startupChart({ machine, runs, kinds }: StartupResult): string {
  return drawBarChart({
    title: 'From spawn to ready',
    subtitle: `median and quartiles of ${runs} starts; the dashed line is the target; ${machine.date.slice(0, 10)}`,
    unit: 'ms',
    scale: 'linear',
    series: ['time to ready'],
    groups: kinds.map(({ kind, readyMs }, i) => ({ label: kind, bars: [readyMs], target: MOST_MS[i] ?? 0 })),
  });
}

/** Of the kinds, in their order. */
const MOST_MS = [4000, 1000, 400];
const MOST_RSS_MB = 120;

function toMB(mebibytes: number): number {
  return (mebibytes * 1024 * 1024) / 1e6;
}
