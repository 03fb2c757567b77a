import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import packageJson from '#package.json' with { type: 'json' };
import { describeMachine, formatMachine } from '../machine.ts';
import { writeResults } from '../results.ts';
import { type Arm, createArm } from './arms.ts';
import { checkAnswer } from './check-answers.ts';
import { compareCheckouts } from './compare-checkouts.ts';
import type { Contestant } from './contestants.ts';
import { measureWithH2load } from './h2load.ts';
import { measureProcesses } from './measure-processes.ts';
import { measureRounds } from './measure-rounds.ts';
import { profileCalls } from './profile-calls.ts';
import { profileReport } from './profile-report.ts';
import { selectArms } from './select-arms.ts';
import type { Slice } from './slice.ts';
import { startContestants } from './start-contestants.ts';
import { transportChart, transportReport } from './transport-report.ts';
import type { MeasuredArm, TransportResult } from './transport-result.ts';
import { missedTargets } from './transport-targets.ts';
import type { WorkloadId } from './workloads.ts';

/**
 * Measures the way from the socket to the handler and back, against other servers that answer with the same post. Servers run on core 0,
 * and this process, which calls them, on core 1. All of them are started once.
 *
 * @param args `--rounds` (40); `--slice-ms` (200); `--only` with ids of workloads and contestants, separated by commas, such as
 *   `grpc,ours,raw-h2`, or `stages`; `--h2load-rounds` (10; 0: h2load is left out).
 *   `--profile`: where the time of a call goes in the servers of the figures that are hard to reach, and nothing else.
 *   `--against` with the folder of another checkout: how much faster this one is than that one, and nothing else.
 * @returns the targets that were missed.
 */
export async function benchTransport(args: readonly string[]): Promise<string[]> {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const [rounds, sliceMs, h2loadRounds] = [values.rounds, values['slice-ms'], values['h2load-rounds']].map(Number) as [
    number,
    number,
    number,
  ];
  const { workloads, contestants, stages } = selectArms(values.only?.split(',') ?? []);
  const { fastify, '@grpc/grpc-js': grpcJs } = packageJson.devDependencies;
  const machine = describeMachine({
    'connect-node': packageJson.dependencies['@connectrpc/connect-node'],
    fastify,
    'grpc-js': grpcJs,
  });
  execFileSync('taskset', ['-a', '-c', '-p', String(GENERATOR_CORE), String(process.pid)]);

  if (values.profile) {
    const report = profileReport(await profileCalls(SERVER_CORE), formatMachine(machine));
    console.log(report);
    await writeResults({ 'transport-profile.md': report });
    return [];
  }

  await using parts = new AsyncDisposableStack();
  const folder = parts.adopt(await mkdtemp(join(tmpdir(), 'postservice-bench-')), remove);
  if (values.against !== undefined) {
    const options = { rounds, sliceMs, workloads, core: SERVER_CORE, answersFolder: folder, parts };
    console.log(await compareCheckouts(values.against, options));
    return [];
  }
  const processes = await startContestants([...contestants, ...stages], { core: SERVER_CORE, folder, parts });
  const armsOf = (entries: readonly Contestant[], workload: WorkloadId) =>
    entries.flatMap(entry => {
      const server = processes.get(entry.processOf ?? entry.id);
      return server !== undefined && entry.workloads.includes(workload) ? [createArm(entry, workload, server)] : [];
    });
  const groups = workloads.map(workload => armsOf(contestants, workload));
  const stageGroups = workloads
    .map(workload => armsOf([...contestants.slice(0, 1), ...stages], workload))
    .filter(group => group.length > 1);
  const arms = [...groups, ...stageGroups].flat();
  for (const { load } of arms) parts.defer(() => load.close());
  const answers = new Map(await Promise.all(arms.map(async arm => [arm, await checkAnswer(arm)] as const)));

  const slices = new Map<Arm, readonly Slice[]>();
  for (const group of [...groups, ...stageGroups]) {
    console.log(`${group[0]?.workload.title}: ${group.map(({ contestant }) => contestant.name).join('; ')}`);
    for (const [arm, found] of await measureRounds(group, { rounds, sliceMs })) slices.set(arm, found);
  }
  const measured = (arm: Arm): MeasuredArm => ({
    workload: arm.workload.id,
    contestant: arm.contestant.id,
    name: arm.contestant.name,
    answer: answers.get(arm) ?? { bytes: 0, encoding: '', head: {} },
    slices: slices.get(arm) ?? [],
  });
  const h2load = await measureWithH2load(callsOfSlice(groups.flat(), slices, sliceMs), h2loadRounds);
  const ours = contestants.find(({ id }) => id === 'ours');
  const byProcesses = h2load && ours && (await measureProcesses(ours, h2loadRounds, PROCESSES_CALLS));
  const result: TransportResult = {
    machine,
    rounds,
    sliceMs,
    arms: groups.flat().map(measured),
    stages: stageGroups.flat().map(measured),
    h2load,
    processes: byProcesses,
  };
  await writeResults({
    'transport.md': transportReport(result),
    'transport.svg': transportChart(result),
    'transport.json': result,
  });
  return missedTargets(result.arms);
}

const OPTIONS = {
  rounds: { type: 'string', default: '40' },
  'slice-ms': { type: 'string', default: '200' },
  'h2load-rounds': { type: 'string', default: '10' },
  only: { type: 'string' },
  profile: { type: 'boolean', default: false },
  against: { type: 'string' },
} as const;
const SERVER_CORE = 0;
const GENERATOR_CORE = 1;
/** Of each process, in a round: some 0.5 s. */
const PROCESSES_CALLS = 6000;

/** How many calls an arm answers in a slice. */
function callsOfSlice(
  arms: readonly Arm[],
  slices: ReadonlyMap<Arm, readonly Slice[]>,
  sliceMs: number,
): Map<Arm, number> {
  return new Map(arms.map(arm => [arm, Math.ceil(((slices.get(arm)?.at(-1)?.rate ?? 0) * sliceMs) / 1000)]));
}

function remove(folder: string): Promise<void> {
  return rm(folder, { recursive: true, force: true });
}
