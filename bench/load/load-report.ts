import { formatMachine, type Machine } from '../machine.ts';
import { quartiles } from '../quartiles.ts';
import { markdownTable } from '../results.ts';
import type { CallMix, ClosedLoopResult } from './closed-loop.ts';

/** One case: so many callers of one kind, with one deadline. */
export interface LoadCase {
  readonly mix: CallMix;
  readonly callers: number;
  readonly deadlineMs: number;
  readonly neighbour: boolean;
}

/** What was measured of a case: rounds in which ours and the plain pool took turns. */
export interface MeasuredLoad extends LoadCase {
  readonly rounds: readonly { readonly ours: ClosedLoopResult; readonly plain: ClosedLoopResult }[];
}

export interface LoadResult {
  readonly machine: Machine;
  readonly seconds: number;
  readonly cases: readonly MeasuredLoad[];
  /** Cold reads in the first second after a start, and in the tenth. */
  readonly starts: readonly { readonly first: ClosedLoopResult; readonly tenth: ClosedLoopResult }[];
}

export function loadReport({ machine, seconds, cases, starts }: LoadResult): string {
  const rows = cases.map(({ mix, callers, deadlineMs, neighbour, rounds }) => [
    `${MIXES[mix]}, ${callers} callers, ${deadlineMs / 1000} s${neighbour ? ', beside a neighbour' : ''}`,
    ...[rounds.map(({ ours }) => ours), rounds.map(({ plain }) => plain)].flatMap(arm => [
      median(arm.map(({ goodput }) => goodput)).toFixed(0),
      share(arm, 'refused'),
      share(arm, 'failed'),
      median(arm.map(({ p50 }) => p50)).toFixed(0),
      median(arm.map(({ p99 }) => p99)).toFixed(0),
    ]),
    ratioOf(rounds).toFixed(2),
  ]);
  const head = ['good a second', 'refused', 'failed', 'p50 ms', 'p99 ms'];
  return [
    '# Load that is no overload',
    '',
    `\`npm run bench load\`: callers who each make a call when they have the answer to the last one, for ${seconds} s. Ours, without a`,
    'cache, against connect-node with Kysely on a plain pool of 10, in turns. Good: answered well within the deadline.',
    'Failed: anything else than an answer or a refusal, such as a deadline that was missed. Medians of the rounds.',
    formatMachine(machine),
    '',
    markdownTable(
      ['', ...head.map(one => `ours: ${one}`), ...head.map(one => `plain: ${one}`), 'good, ours / plain'],
      rows,
    ),
    '',
    '## Cold reads after a start, 128 callers, deadline 1 s',
    '',
    markdownTable(
      ['', 'good', 'refused', 'failed'],
      (['first', 'tenth'] as const).map(which => [
        `the ${which} second`,
        ...(['ok', 'refused', 'failed'] as const).map(key => median(starts.map(start => start[which][key])).toFixed(0)),
      ]),
    ),
    '',
  ].join('\n');
}

/** Where ours refuses what a plain pool answers in time, or does less. */
export function missedTargets({ cases, starts }: LoadResult): string[] {
  const missed = cases.flatMap(({ mix, callers, deadlineMs, neighbour, rounds }) => {
    const what = `${mix}, ${callers} callers, ${deadlineMs} ms${neighbour ? ', neighbour' : ''}`;
    const refused = rounds.filter(({ ours, plain }) => ours.refused > 0 && plain.failed === 0);
    const ratio = ratioOf(rounds);
    return [
      ...(callers <= 128 && refused.length > 0
        ? [`${what}: refused in ${refused.length} of ${rounds.length} rounds`]
        : []),
      ...(ratio < 1 ? [`${what}: goodput is ${ratio.toFixed(2)} of a plain pool's`] : []),
    ];
  });
  const early = starts.reduce((sum, { first }) => sum + first.refused, 0);
  return early === 0 ? missed : [...missed, `${early} cold reads were refused in the first second`];
}

function ratioOf(rounds: MeasuredLoad['rounds']): number {
  return median(rounds.map(({ ours, plain }) => ours.goodput / plain.goodput));
}

function share(arm: readonly ClosedLoopResult[], key: 'refused' | 'failed'): string {
  const shares = arm.map(result => (100 * result[key]) / (result.ok + result.refused + result.failed));
  return `${median(shares).toFixed(1)} %`;
}

function median(values: readonly number[]): number {
  return quartiles(values).median;
}

const MIXES: Readonly<Record<CallMix, string>> = { create: 'CreatePost', cold: 'cold GetPost', mixed: 'both in turns' };
