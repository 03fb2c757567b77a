import { join, resolve } from 'node:path';
import { formatQuartiles, quartiles } from '../quartiles.ts';
import { createArm } from './arms.ts';
import { checkAnswer } from './check-answers.ts';
import { CONTESTANTS, type Contestant } from './contestants.ts';
import { measureRounds } from './measure-rounds.ts';
import type { Slice } from './slice.ts';
import { startContestants } from './start-contestants.ts';
import { WORKLOADS, type WorkloadId } from './workloads.ts';

/**
 * Compares the service as it is with another checkout of it, such as that of the commit before: both run at the same time, and each
 * round has a slice of each. The checkout needs its own `npm ci`.
 *
 * The third arm is the service as it is, in another process: what two processes of the same code differ by is noise.
 *
 * @param folder of the other checkout.
 * @returns a table: calls a second, and by how much this checkout is faster than the other one, and than itself.
 */
export async function compareCheckouts(
  folder: string,
  options: {
    readonly rounds: number;
    readonly sliceMs: number;
    readonly workloads: readonly WorkloadId[];
    readonly core: number;
    readonly answersFolder: string;
    readonly parts: AsyncDisposableStack;
  },
): Promise<string> {
  const [ours] = CONTESTANTS;
  if (ours === undefined) throw new Error('there are no contestants');
  const other = (id: string, name: string, script: string): Contestant => ({
    ...ours,
    id,
    name,
    command: ['node', script],
  });
  const script = 'bench/transport/servers/our-server.ts';
  const contestants = [
    ours,
    other('other', 'the other checkout', join(resolve(folder), script)),
    other('same', 'ours, in another process', script),
  ];
  const { core, answersFolder, parts } = options;
  const processes = await startContestants(contestants, { core, folder: answersFolder, parts });
  const rows = ['| workload | calls/s | of the other checkout | of itself (A/A) |', '|---|---|---|---|'];
  for (const id of options.workloads) {
    const arms = contestants.flatMap(contestant => {
      const server = processes.get(contestant.id);
      return server === undefined ? [] : [createArm(contestant, id, server)];
    });
    for (const arm of arms) {
      parts.defer(() => arm.load.close());
      await checkAnswer(arm);
    }
    const [mine = [], theirs = [], again = []] = [...(await measureRounds(arms, options)).values()];
    const { median } = quartiles(mine.map(slice => slice.rate));
    const row = `| ${WORKLOADS[id].title} | ${Math.round(median)} | ${ratio(mine, theirs)} | ${ratio(mine, again)} |`;
    console.log(row);
    rows.push(row);
  }
  return rows.join('\n');
}

function ratio(these: readonly Slice[], those: readonly Slice[]): string {
  return formatQuartiles(quartiles(these.map(({ rate }, round) => rate / (those[round]?.rate ?? Number.NaN))), 3);
}
