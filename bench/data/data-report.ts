import { formatMachine, type Machine } from '../machine.ts';
import { formatQuartiles } from '../quartiles.ts';
import { markdownTable } from '../results.ts';
import type { MeasuredColdCalls } from './measure-cold-calls.ts';
import type { MeasuredCreates } from './measure-creates.ts';
import type { MeasuredReads } from './measure-reads.ts';

/** The results of the scenario `data`. */
export interface DataResult {
  readonly machine: Machine;
  readonly posts: number;
  readonly rounds: number;
  readonly reads: readonly MeasuredReads[];
  readonly coldCalls: readonly MeasuredColdCalls[];
  readonly creates: readonly MeasuredCreates[];
}

/** The missed targets. */
export function missedTargets({ reads, coldCalls, creates }: DataResult): string[] {
  const missed: string[] = [];
  const busy = reads.filter(({ callers }) => callers === 64);
  const ratioTo = (name: string) => busy.find(arm => arm.name.startsWith(name))?.ratio.median ?? Number.NaN;
  const least = (what: string, ratio: number, target: number) => {
    if (!(ratio >= target)) missed.push(`${what}: ${ratio.toFixed(2)} (at least ${target})`);
  };
  least('reads by id over lanes, of plain Kysely', ratioTo('plain Kysely'), 4);
  least('reads by id over lanes, of pgbench', ratioTo('pgbench'), 0.7);
  const cpu = busy[0]?.cpuUs?.median ?? Number.NaN;
  if (!(cpu <= 25)) missed.push(`a read over lanes: ${cpu.toFixed(1)} µs of CPU (at most 25)`);
  const [ours, , plain] = coldCalls;
  least('cold GetPost, of connect-node with Kysely', (ours?.perSecond.median ?? 0) / (plain?.perSecond.median ?? 0), 4);
  const best = Math.max(...creates.map(({ postsPerSecond }) => postsPerSecond.median));
  if (!(best >= 10_000)) missed.push(`posts created in batches: ${best.toFixed(0)} a second (at least 10000)`);
  return missed;
}

export function dataReport(result: DataResult): string {
  const { machine, posts, rounds, reads, coldCalls, creates } = result;
  const missed = missedTargets(result);
  const [, , plain] = coldCalls;
  return `# The way to Postgres and back

${formatMachine(machine)}

${posts} posts made of real ones; medians (quartiles) of ${rounds} rounds in which all take turns.

${missed.length === 0 ? 'Every target is met.' : `Missed:\n\n${missed.map(line => `- ${line}`).join('\n')}`}

## Reads by id

Of 500 posts, by so many callers at once in one process; Postgres has the other core, more or less. "Ours/this" is the first row's rate as a
multiple of the row's. CPU is that of the reading process. The policy is the limit, the queue and the circuit breaker in front of Postgres; targets: 4 times plain Kysely, 0.7 of pgbench on as many connections, 25 µs of CPU, each with 64 callers.

${markdownTable(
  ['callers', 'reader', 'reads/s', 'ours/this', 'CPU µs a read'],
  reads
    .map(({ callers, name, perSecond, ratio, cpuUs }) => [
      `${callers}, ${name}`,
      formatQuartiles(perSecond, 0),
      formatQuartiles(ratio, 2),
      cpuUs === undefined ? '' : formatQuartiles(cpuUs, 1),
    ])
    .map(([first = '', ...rest]) => [first.split(', ')[0] ?? '', first.split(', ').slice(1).join(', '), ...rest]),
)}

## GetPost that no cache has

From end to end, over HTTP/1.1, 32 calls at once; the server on one core, with Postgres and the generator on both. Target: 4 times.

${markdownTable(
  ['server', 'calls/s', 'CPU µs a call', 'its CPU, of connect-node’s'],
  coldCalls.map(({ name, perSecond, cpuUs }) => [
    name,
    formatQuartiles(perSecond, 0),
    formatQuartiles(cpuUs, 1),
    (cpuUs.median / (plain?.cpuUs.median ?? Number.NaN)).toFixed(2),
  ]),
)}

## Creates

Posts of 1 KB in batches of 100, each a transaction that waits for the disk, with all indexes and triggers. Target: 10,000 a second.

${markdownTable(
  ['through', 'callers', 'posts/s'],
  creates.map(({ name, callers, postsPerSecond }) => [name, String(callers), formatQuartiles(postsPerSecond, 0)]),
)}
`;
}
