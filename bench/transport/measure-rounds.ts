import type { Arm } from './arms.ts';
import { measureSlice, type Slice } from './slice.ts';

/**
 * Measures arms against each other: each round has one slice of each arm, in an order that rotates, so that what disturbs
 * the machine for a while disturbs all of them. The rounds are what ratios are paired by. All of them are warmed up before:
 * a server that has answered fewer calls than others would seem to be slower.
 *
 * @returns the slices of each arm, by round.
 */
export async function measureRounds(
  arms: readonly Arm[],
  options: { readonly rounds: number; readonly sliceMs: number },
): Promise<Map<Arm, Slice[]>> {
  const slices = new Map(arms.map(arm => [arm, [] as Slice[]]));
  for (const arm of arms) await warmUp(arm);
  for (let round = 0; round < options.rounds; round++) {
    for (let turn = 0; turn < arms.length; turn++) {
      const arm = arms[(round + turn) % arms.length] as Arm;
      slices.get(arm)?.push(await measureArm(arm, options.sliceMs));
    }
  }
  return slices;
}

async function warmUp(arm: Arm): Promise<void> {
  const { load } = arm;
  const until = performance.now() + WARM_UP_MAX_MS;
  while (load.answered < WARM_UP_CALLS && performance.now() < until) await measureArm(arm, 500);
}

async function measureArm({ contestant, workload, load, process }: Arm, ms: number): Promise<Slice> {
  try {
    return await measureSlice(load, process, ms);
  } catch (cause) {
    throw new Error(`${contestant.name}, ${workload.title}: ${(cause as Error).message}`, { cause });
  }
}

/** Until V8 has compiled what is hot, with its best compiler. */
const WARM_UP_CALLS = 20_000;
const WARM_UP_MAX_MS = 20_000;
