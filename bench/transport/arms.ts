import type { ContestantProcess } from './contestant-process.ts';
import type { Contestant } from './contestants.ts';
import { Http1Load } from './http1-load.ts';
import { Http2Load } from './http2-load.ts';
import type { Load } from './load.ts';
import { WORKLOADS, type Workload, type WorkloadId } from './workloads.ts';

/** One contestant under one workload. */
export interface Arm {
  readonly contestant: Contestant;
  /** As this contestant gets it. */
  readonly workload: Workload;
  readonly process: ContestantProcess;
  readonly load: Load;
}

export function createArm(contestant: Contestant, id: WorkloadId, process: ContestantProcess): Arm {
  const workload = workloadFor(contestant, id);
  const load = workload.http2 ? new Http2Load(process.port, workload) : new Http1Load(process.port, workload);
  return { contestant, workload, process, load };
}

function workloadFor({ targets, headers }: Contestant, id: WorkloadId): Workload {
  const workload = WORKLOADS[id];
  const given = Object.entries({ ...workload.headers, ...headers }).filter(([, value]) => value !== undefined);
  return { ...workload, target: targets?.[id] ?? workload.target, headers: Object.fromEntries(given) as Headers };
}

type Headers = Readonly<Record<string, string>>;
