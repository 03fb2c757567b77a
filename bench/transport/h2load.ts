import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Quartiles, quartiles } from '../quartiles.ts';
import type { Arm } from './arms.ts';
import { CALLS_AT_ONCE } from './load.ts';
import type { WorkloadId } from './workloads.ts';

/** What h2load, a generator that is none of ours, says of one arm. */
export interface H2loadRow {
  readonly workload: WorkloadId;
  readonly contestant: string;
  readonly name: string;
  /** Calls a second. */
  readonly rate: Quartiles;
}

/**
 * Measures arms with h2load, by a number of calls a slice, in rounds as the rest. It runs where this process may, on the
 * generator's core, since it is started from here.
 *
 * @param arms with the number of calls of a slice.
 * @returns undefined where there are no rounds, or h2load is not installed (Debian: nghttp2-client).
 */
export async function measureWithH2load(
  arms: ReadonlyMap<Arm, number>,
  rounds: number,
): Promise<H2loadRow[] | undefined> {
  if (rounds === 0 || !(await hasH2load())) return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'postservice-bench-'));
  try {
    const all = [...arms];
    const commands = await Promise.all(
      all.map(([arm, calls], i) => h2loadCommand(arm, calls, join(folder, String(i)))),
    );
    const rates: number[][] = all.map(() => []);
    for (let round = 0; round < rounds; round++) {
      for (let turn = 0; turn < all.length; turn++) {
        const i = (round + turn) % all.length;
        rates[i]?.push(parseRate((await run('h2load', commands[i] ?? [])).stdout));
      }
    }
    return all.map(([{ workload, contestant }], i) => {
      const rate = quartiles(rates[i] ?? []);
      return { workload: workload.id, contestant: contestant.id, name: contestant.name, rate };
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

const run = promisify(execFile);

/** Whether there is an h2load. */
export async function hasH2load(): Promise<boolean> {
  return await run('h2load', ['--version']).then(
    () => true,
    () => false,
  );
}

/** Its arguments, for so many calls of an arm. @param bodyFile where the request's body is put. */
export async function h2loadCommand({ workload, process }: Arm, calls: number, bodyFile: string): Promise<string[]> {
  const { http2, target, headers, body } = workload;
  const connections = http2 ? ['-c', '4', '-m', String(CALLS_AT_ONCE / 4)] : ['--h1', '-c', String(CALLS_AT_ONCE)];
  if (body !== undefined) await writeFile(bodyFile, body);
  return [
    ...connections,
    ...['-t', '1', '-n', String(calls)],
    ...Object.entries(headers).flatMap(([name, value]) => ['-H', `${name}: ${value}`]),
    ...(body === undefined ? [] : ['-d', bodyFile]),
    `http://127.0.0.1:${process.port}${target}`,
  ];
}

/** Calls a second, from what it prints. @throws where a call failed. */
export function parseRate(output: string): number {
  const failed = /(\d+) failed, (\d+) errored/.exec(output);
  const status = /status codes: \d+ 2xx, 0 3xx, 0 4xx, 0 5xx/.test(output);
  const rate = /finished in [^,]+, ([\d.]+) req\/s/.exec(output)?.[1];
  if (rate === undefined || failed?.[1] !== '0' || failed[2] !== '0' || !status) throw new Error(`h2load: ${output}`);
  return Number(rate);
}
