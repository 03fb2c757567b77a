import type { Machine } from '../machine.ts';
import { type Quartiles, quartiles } from '../quartiles.ts';
import type { CheckedAnswer } from './check-answers.ts';
import type { H2loadRow } from './h2load.ts';
import type { ProcessesRow } from './measure-processes.ts';
import type { Slice } from './slice.ts';
import type { WorkloadId } from './workloads.ts';

/** All that the scenario `transport` found. */
export interface TransportResult {
  readonly machine: Machine;
  readonly rounds: number;
  readonly sliceMs: number;
  readonly arms: readonly MeasuredArm[];
  /** The same of the stages: ours, and ours with one thing another. */
  readonly stages: readonly MeasuredArm[];
  /** Undefined: h2load is not installed. */
  readonly h2load: readonly H2loadRow[] | undefined;
  /** Undefined for the same reason. */
  readonly processes: readonly ProcessesRow[] | undefined;
}

/** What was measured of one contestant under one workload. */
export interface MeasuredArm {
  readonly workload: WorkloadId;
  readonly contestant: string;
  readonly name: string;
  readonly answer: CheckedAnswer;
  /** By round. */
  readonly slices: readonly Slice[];
}

/** The quartiles of one figure over the rounds. */
export function over({ slices }: MeasuredArm, figure: keyof Slice): Quartiles {
  return quartiles(slices.map(slice => slice[figure]));
}

/** How many times as fast one is as the other, or uses as much CPU, paired by round. */
export function pairedRatio(of: MeasuredArm, against: MeasuredArm, figure: keyof Slice = 'rate'): Quartiles {
  return quartiles(of.slices.map((slice, i) => slice[figure] / (against.slices[i]?.[figure] ?? Number.NaN)));
}

/** By how much the figure of one is above that of the other, paired by round. */
export function pairedDifference(of: MeasuredArm, against: MeasuredArm, figure: keyof Slice): Quartiles {
  return quartiles(of.slices.map((slice, i) => slice[figure] - (against.slices[i]?.[figure] ?? Number.NaN)));
}

/** The arm of a contestant under a workload; undefined where it was not measured. */
export function findArm(arms: readonly MeasuredArm[], workload: WorkloadId, id: string): MeasuredArm | undefined {
  return arms.find(arm => arm.workload === workload && arm.contestant === id);
}
