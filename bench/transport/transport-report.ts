import { drawBarChart } from '../bar-chart.ts';
import { formatMachine } from '../machine.ts';
import { formatQuartiles } from '../quartiles.ts';
import { markdownTable } from '../results.ts';
import { processesSection } from './measure-processes.ts';
import { stagesSection } from './stages-report.ts';
import { findArm, type MeasuredArm, over, pairedRatio, type TransportResult } from './transport-result.ts';
import { targetOutcomes } from './transport-targets.ts';
import { WORKLOADS, type WorkloadId } from './workloads.ts';

export function transportReport(result: TransportResult): string {
  const { machine, rounds, sliceMs, arms, stages, processes } = result;
  const workloads = workloadsOf(arms);
  return `# Transport: from the socket to the handler and back

${formatMachine(machine)}

GetPost of a post of 1 KB in memory, with the headers that real clients send, ${rounds} rounds. Each round has a slice of ${sliceMs} ms of each row,
in an order that rotates, one workload after the other; 16 calls at once (HTTP/1.1: one for each of 16 connections; HTTP/2: 4 connections); server on one core,
generator on the other. Every row is a process that runs from the beginning to the end. Values are medians over the rounds, with the
quartiles. "Ours/this" is the rate of ours as a multiple of the row's, paired by round: the rows "measured again" (the same process)
and "second process" (the same code) say how much of that is noise. "CPU" is the server's own time on the core a call, as the scheduler counts it.
Where the server is busy for less than 95 % of the time, it is not the server that limits the rate.

![Calls a second](transport.svg)

## Targets

${targetTable(arms)}

${workloads.map(workload => workloadSection(arms, workload)).join('\n')}
${stagesSection(stages)}
${processes === undefined ? '' : processesSection(processes)}
${h2loadSection(result)}`;
}

/** Ours and who it is compared with, under each workload. */
export function transportChart({ machine, rounds, arms }: TransportResult): string {
  const bar = (workload: WorkloadId, ...ids: readonly string[]) => {
    const arm = ids.map(id => findArm(arms, workload, id)).find(found => found !== undefined);
    if (arm === undefined) return undefined;
    const { q1, median, q3 } = over(arm, 'rate');
    return { q1: q1 / 1000, median: median / 1000, q3: q3 / 1000 };
  };
  return drawBarChart({
    title: 'Calls that one core answers in a second',
    subtitle: `GetPost of 1 KB from memory; thousands; median and quartiles of ${rounds} rounds; ${machine.date.slice(0, 10)}`,
    unit: 'k/s',
    scale: 'linear',
    series: ['ours', 'node:http, node:http2', 'Fastify, grpc-js', 'connect-node'],
    groups: workloadsOf(arms).map(workload => ({
      label: WORKLOADS[workload].title,
      bars: [
        bar(workload, 'ours'),
        bar(workload, 'raw', 'raw-h2'),
        bar(workload, 'fastify', 'grpc-js'),
        bar(workload, 'connect-node', 'connect-node-h2'),
      ],
    })),
  });
}

function workloadsOf(arms: readonly MeasuredArm[]): WorkloadId[] {
  return [...new Set(arms.map(({ workload }) => workload))];
}

function targetTable(arms: readonly MeasuredArm[]): string {
  return markdownTable(
    ['workload', 'rates compared', 'target', 'measured', 'by CPU a call', 'met'],
    targetOutcomes(arms).map(({ workload, of, against, least, ratio, byCpu, met }) => [
      WORKLOADS[workload].title,
      `${nameOf(arms, of)} / ${nameOf(arms, against)}`,
      `≥ ${least}`,
      formatQuartiles(ratio, 2),
      formatQuartiles(byCpu, 2),
      met ? 'yes' : '**no**',
    ]),
  );
}

function nameOf(arms: readonly MeasuredArm[], id: string): string {
  return arms.find(({ contestant }) => contestant === id)?.name ?? id;
}

function workloadSection(arms: readonly MeasuredArm[], workload: WorkloadId): string {
  const rows = arms.filter(arm => arm.workload === workload);
  const ours = findArm(arms, workload, 'ours');
  const head = ['server', 'calls/s', 'ours/this', 'CPU µs a call', 'server busy', 'body, bytes'];
  const table = markdownTable(
    head,
    rows.map(arm => [
      arm.name,
      formatQuartiles(over(arm, 'rate'), 0),
      ours === undefined || arm === ours ? '' : formatQuartiles(pairedRatio(ours, arm), 2),
      formatQuartiles(over(arm, 'cpuUs'), 1),
      percent(over(arm, 'serverShare').median),
      `${arm.answer.bytes}${arm.answer.encoding === 'identity' ? '' : ` (${arm.answer.encoding})`}`,
    ]),
  );
  return `## ${WORKLOADS[workload].title}\n\n${table}\n`;
}

function percent(share: number): string {
  return `${Math.round(share * 100)} %`;
}

function h2loadSection({ h2load, arms }: TransportResult): string {
  if (h2load === undefined)
    return '## h2load\n\nNot run: it was left out, or is not installed (Debian: nghttp2-client).\n';
  const table = markdownTable(
    ['workload', 'server', 'calls/s by h2load', 'by our generator'],
    h2load.map(({ workload, contestant, name, rate }) => {
      const arm = findArm(arms, workload, contestant);
      return [
        WORKLOADS[workload].title,
        name,
        formatQuartiles(rate, 0),
        arm === undefined ? '' : over(arm, 'rate').median.toFixed(0),
      ];
    }),
  );
  return `## h2load

The same rows by a generator that is none of ours, by number of calls: as many as the server answered in a slice. It counts the time to connect too,
and over HTTP/1.1 and HTTP/2 it is itself the limit where a server is faster than it.

${table}
`;
}
