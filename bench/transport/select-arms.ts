import { CONTESTANTS, type Contestant, STAGES } from './contestants.ts';
import { WORKLOADS, type WorkloadId } from './workloads.ts';

/** What takes part in a run. */
export interface Selection {
  readonly workloads: readonly WorkloadId[];
  readonly contestants: readonly Contestant[];
  /** Ours with one thing another, to be compared with the first contestant. */
  readonly stages: readonly Contestant[];
}

/**
 * Picks what takes part.
 *
 * @param only ids of workloads and contestants, and `stages` for the table of what each stage costs. None of a kind: all
 *   of it. Ours takes part in any case, since the others are compared with it.
 * @throws where there is no such id.
 */
export function selectArms(only: readonly string[]): Selection {
  const allWorkloads = Object.keys(WORKLOADS) as WorkloadId[];
  const known = new Set<string>([...allWorkloads, ...CONTESTANTS.map(({ id }) => id), 'stages']);
  const unknown = only.filter(id => !known.has(id));
  if (unknown.length > 0) throw new Error(`${unknown.join(', ')}: there is ${[...known].join(', ')}`);
  const workloads = allWorkloads.filter(id => only.includes(id));
  const named = CONTESTANTS.filter(({ id }) => only.includes(id));
  const some = named.length > 0 || only.includes('stages');
  return {
    workloads: workloads.length > 0 ? workloads : allWorkloads,
    contestants: some ? CONTESTANTS.filter(({ id }) => id === 'ours' || only.includes(id)) : CONTESTANTS,
    stages: only.includes('stages') || named.length === 0 ? STAGES : [],
  };
}
