import type { Quartiles } from '../quartiles.ts';
import { findArm, type MeasuredArm, pairedRatio } from './transport-result.ts';
import type { WorkloadId } from './workloads.ts';

/** One figure to reach: how many times as fast one contestant is as another. */
export interface Target {
  readonly workload: WorkloadId;
  readonly of: string;
  readonly against: string;
  readonly least: number;
}

export const TARGETS: readonly Target[] = [
  { workload: 'post-proto', of: 'ours', against: 'connect-node', least: 7.5 },
  { workload: 'post-proto', of: 'ours', against: 'raw', least: 0.95 },
  { workload: 'post-json', of: 'ours', against: 'raw', least: 0.9 },
  { workload: 'get-json', of: 'ours', against: 'raw', least: 0.85 },
  { workload: 'get-json', of: 'ours', against: 'fastify', least: 1.05 },
  { workload: 'get-json', of: 'ours-miss', against: 'fastify', least: 0.9 },
  { workload: 'grpc', of: 'ours', against: 'connect-node-h2', least: 7.5 },
  { workload: 'grpc', of: 'ours', against: 'raw-h2', least: 0.92 },
  { workload: 'grpc', of: 'ours', against: 'grpc-js', least: 1.5 },
  { workload: 'grpc', of: 'ours-miss', against: 'grpc-js', least: 1.15 },
];

/** A target, and what was measured. */
export interface TargetOutcome extends Target {
  /** Of the rates. */
  readonly ratio: Quartiles;
  /** The same by the server's CPU time a call, which other programs on the machine disturb less. */
  readonly byCpu: Quartiles;
  readonly met: boolean;
}

/** The outcome of each target of which both contestants were measured. */
export function targetOutcomes(arms: readonly MeasuredArm[]): TargetOutcome[] {
  return TARGETS.flatMap(target => {
    const of = findArm(arms, target.workload, target.of);
    const against = findArm(arms, target.workload, target.against);
    if (of === undefined || against === undefined) return [];
    const ratio = pairedRatio(of, against);
    const byCpu = pairedRatio(against, of, 'cpuUs');
    return [{ ...target, ratio, byCpu, met: ratio.median >= target.least }];
  });
}

/** The targets that were missed, one line each. */
export function missedTargets(arms: readonly MeasuredArm[]): string[] {
  return targetOutcomes(arms)
    .filter(({ met }) => !met)
    .map(({ workload, of, against, least, ratio }) => {
      return `${workload}: ${of} is ${ratio.median.toFixed(2)} of ${against}, and is to be at least ${least}`;
    });
}
