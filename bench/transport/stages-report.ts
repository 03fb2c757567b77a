import { formatQuartiles } from '../quartiles.ts';
import { markdownTable } from '../results.ts';
import { STAGES } from './contestants.ts';
import { findArm, type MeasuredArm, over, pairedDifference } from './transport-result.ts';
import { WORKLOADS } from './workloads.ts';

/** What each stage of ours costs a call, in CPU time of the server; empty where it was not measured. */
export function stagesSection(arms: readonly MeasuredArm[]): string {
  if (arms.length === 0) return '';
  const workloads = [...new Set(arms.map(({ workload }) => workload))];
  const all = workloads.map(workload => {
    const ours = findArm(arms, workload, 'ours');
    return ours === undefined ? '' : formatQuartiles(over(ours, 'cpuUs'), 1);
  });
  const rows = STAGES.map(({ id, stage }) => [
    stage,
    ...workloads.map(workload => {
      const ours = findArm(arms, workload, 'ours');
      const without = findArm(arms, workload, id);
      if (ours === undefined || without === undefined) return '';
      return formatQuartiles(pairedDifference(ours, without, 'cpuUs'), 1);
    }),
  ]);
  return `## What each stage costs

In microseconds of the server's CPU a call: ours less ours without that stage, paired by round. Two processes of the same code differ by some
percent too: what is smaller than that is not told from nothing.

${markdownTable(['stage', ...workloads.map(workload => WORKLOADS[workload].title)], [['the whole call', ...all], ...rows])}
`;
}
