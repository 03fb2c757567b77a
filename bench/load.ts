import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startPosts } from './faults/posts.ts';
import { startBare, startOurs } from './faults/subject.ts';
import { type CallMix, type ClosedLoopResult, runClosedLoop } from './load/closed-loop.ts';
import { type LoadCase, type LoadResult, loadReport, missedTargets } from './load/load-report.ts';
import { startNeighbour } from './load/neighbour.ts';
import { describeMachine } from './machine.ts';
import { writeResults } from './results.ts';

/**
 * Measures what callers get who each wait for their answers, from few to very many, against a server with a plain pool: it refuses nobody,
 * so nor may we as long as there is time.
 *
 * @param args `--rounds` (3), `--seconds` of a measurement (4), `--callers` (8,32,128,512), `--mixes` (create,cold,mixed), `--deadlines` in
 *   milliseconds (1000,10000). `--neighbours` (no,yes): beside a process that takes half a core, or not. `--starts` (3), whose first second
 *   is measured.
 * @returns the targets that were missed.
 */
export async function benchLoad(args: readonly string[]): Promise<string[]> {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const machine = describeMachine();
  const seconds = Number(values.seconds);
  await using parts = new AsyncDisposableStack();
  const { postgres, ids } = parts.use(await startPosts({ max_connections: '60' }));
  const settings = { DATABASE_URL: postgres.url, CACHE_NEAR_BYTES: '0B', CONNECTIONS_PER_ADDRESS: '0' };
  const starts: { first: ClosedLoopResult; tenth: ClosedLoopResult }[] = [];
  for (let n = 0; n < Number(values.starts); n++) {
    await using fresh = await startOurs(settings);
    const load = { port: portOf(fresh), mix: 'cold', callers: 128, deadlineMs: 1000, ids } as const;
    const first = await runClosedLoop({ ...load, ms: 1000 });
    await runClosedLoop({ ...load, ms: 8000 });
    starts.push({ first, tenth: await runClosedLoop({ ...load, ms: 1000 }) });
  }
  const ours = portOf(parts.use(await startOurs(settings)));
  const plain = portOf(parts.use(await startBare(postgres.url)));
  const cases: LoadResult['cases'][number][] = [];
  for (const one of casesOf(values)) {
    await using _neighbour = one.neighbour ? startNeighbour() : undefined;
    const rounds = [];
    for (let round = 0; round < Number(values.rounds); round++) {
      const results: Partial<Record<'ours' | 'plain', ClosedLoopResult>> = {};
      const turns = [['ours', ours] as const, ['plain', plain] as const];
      for (const [name, port] of round % 2 === 0 ? turns : turns.toReversed()) {
        results[name] = await runClosedLoop({ ...one, port, ms: seconds * 1000, ids });
        // What one has left behind is none of the next one's.
        await sleep(300);
      }
      rounds.push(results as Required<typeof results>);
    }
    cases.push({ ...one, rounds });
    console.log(loadReport({ machine, seconds, cases: cases.slice(-1), starts: [] }).split('\n')[9]);
  }
  const result: LoadResult = { machine, seconds, cases, starts };
  await writeResults({ 'load.md': loadReport(result), 'load.json': result });
  return missedTargets(result);
}

const OPTIONS = {
  rounds: { type: 'string', default: '3' },
  seconds: { type: 'string', default: '4' },
  callers: { type: 'string', default: '8,32,128,512' },
  mixes: { type: 'string', default: 'create,cold,mixed' },
  deadlines: { type: 'string', default: '1000,10000' },
  neighbours: { type: 'string', default: 'no,yes' },
  starts: { type: 'string', default: '3' },
} as const;

function casesOf(values: Readonly<Record<'callers' | 'mixes' | 'deadlines' | 'neighbours', string>>): LoadCase[] {
  return values.neighbours.split(',').flatMap(neighbour =>
    values.mixes.split(',').flatMap(mix =>
      values.callers.split(',').flatMap(callers =>
        values.deadlines.split(',').map(deadline => ({
          mix: mix as CallMix,
          callers: Number(callers),
          deadlineMs: Number(deadline),
          neighbour: neighbour === 'yes',
        })),
      ),
    ),
  );
}

function portOf({ url }: { readonly url: string }): number {
  return Number(new URL(url).port);
}
