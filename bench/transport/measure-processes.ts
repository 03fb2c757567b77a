import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { formatQuartiles, type Quartiles, quartiles } from '../quartiles.ts';
import { markdownTable } from '../results.ts';
import { type Arm, createArm } from './arms.ts';
import { startContestant } from './contestant-process.ts';
import type { Contestant } from './contestants.ts';
import { h2loadCommand, parseRate } from './h2load.ts';
import { WORKLOADS, type WorkloadId } from './workloads.ts';

/** What one and two processes of ours answer on two cores. */
export interface ProcessesRow {
  readonly workload: WorkloadId;
  readonly processes: 1 | 2;
  /** Calls a second, of all processes. */
  readonly rate: Quartiles;
  /** Of a process, in microseconds a call. */
  readonly cpuUs: Quartiles;
}

/**
 * Measures one process of ours, on one core with h2load on the other; and two, one on each core, with an h2load for each that takes its
 * part of the other's core. They take turns.
 */
export async function measureProcesses(ours: Contestant, rounds: number, calls: number): Promise<ProcessesRow[]> {
  await using parts = new AsyncDisposableStack();
  const folder = parts.adopt(await mkdtemp(join(tmpdir(), 'postservice-bench-')), dir =>
    rm(dir, { recursive: true, force: true }),
  );
  const servers = [];
  for (const core of [0, 1]) servers.push(parts.use(await startContestant(ours.command, core)));
  const rows: ProcessesRow[] = [];
  for (const workload of WORKLOADS_MEASURED) {
    const arms = servers.map(server => createArm(ours, workload, server));
    for (const { load } of arms) parts.defer(() => load.close());
    const commands = await Promise.all(
      arms.map((arm, n) => h2loadCommand(arm, calls, join(folder, `${workload}-${n}`))),
    );
    const found = {
      1: { rate: [] as number[], cpuUs: [] as number[] },
      2: { rate: [] as number[], cpuUs: [] as number[] },
    };
    // The first round is the warm-up, and does not count.
    for (let round = -1; round < rounds; round++) {
      for (const processes of [1, 2] as const) {
        const { rate, cpuUs } = await loadAll(arms.slice(0, processes), commands, calls);
        if (round < 0) continue;
        found[processes].rate.push(rate);
        found[processes].cpuUs.push(cpuUs);
      }
    }
    for (const processes of [1, 2] as const) {
      const { rate, cpuUs } = found[processes];
      rows.push({ workload, processes, rate: quartiles(rate), cpuUs: quartiles(cpuUs) });
    }
  }
  return rows;
}

export function processesSection(rows: readonly ProcessesRow[]): string {
  const table = markdownTable(
    ['workload', 'processes', 'calls/s', 'CPU µs a call', 'calls/s for which a core is enough, by that'],
    rows.map(({ workload, processes, rate, cpuUs }) => [
      WORKLOADS[workload].title,
      String(processes),
      formatQuartiles(rate, 0),
      formatQuartiles(cpuUs, 1),
      (1e6 / cpuUs.median).toFixed(0),
    ]),
  );
  return `## One and two processes on two cores

One process on one core with h2load on the other; two processes, one on each core, with an h2load for each that shares the other's core: both
cores are full then, and what h2load takes is not the service's. CPU a call says what the generator leaves unsaid: that it is the same for two
means that they do not hinder each other, so that a machine with cores of its own for the generator would answer twice as many.

${table}
`;
}

const WORKLOADS_MEASURED: readonly WorkloadId[] = ['post-proto', 'grpc'];
const run = promisify(execFile);

async function loadAll(arms: readonly Arm[], commands: readonly string[][], calls: number) {
  const before = arms.map(({ process }) => process.cpuUs());
  const rates = await Promise.all(
    arms.map(async (_, n) => {
      // On the other core than its server's.
      const { stdout } = await run('taskset', ['-c', String(1 - n), 'h2load', ...(commands[n] ?? [])]);
      return parseRate(stdout);
    }),
  );
  const cpuUs =
    arms.reduce((sum, { process }, n) => sum + process.cpuUs() - (before[n] ?? 0), 0) / (calls * arms.length);
  return { rate: rates.reduce((sum, rate) => sum + rate, 0), cpuUs };
}
