import { formatMachine, type Machine } from '../machine.ts';
import { markdownTable } from '../results.ts';
import type { SeenStatements } from './cancelled-statements.ts';
import type { FrozenResult } from './frozen-postgres.ts';

/** The results of the scenario `cancel`. */
export interface CancelResult {
  readonly machine: Machine;
  readonly cancelledWithinMs: number;
  readonly limitMs: number;
  readonly cancelled: readonly (SeenStatements & {
    readonly rate: number;
    readonly calls: number;
    readonly cpuShare: number;
  })[];
  readonly frozen: FrozenResult;
}

/** The statements and calls that lasted too long. */
export function missedTargets({ cancelled, frozen, limitMs }: CancelResult): string[] {
  const late = frozen.overrunsMs.filter(ms => ms > MOST_OVERRUN_MS).length;
  return [
    ...cancelled
      .filter(seen => seen.late > 0)
      .map(seen => `${seen.rate} calls/s: ${seen.late} statements were seen older than ${limitMs} ms`),
    ...(late === 0 ? [] : [`frozen Postgres: ${late} calls outlived their deadlines by ${MOST_OVERRUN_MS} ms`]),
  ];
}

export function cancelReport(result: CancelResult): string {
  const { machine, cancelledWithinMs, limitMs, cancelled, frozen } = result;
  const missed = missedTargets(result);
  const at = (share: number) => (frozen.overrunsMs[Math.ceil(share * frozen.calls) - 1] ?? Number.NaN).toFixed(1);
  const codes = Object.entries(frozen.codes).map(([code, count]) => `${count} ${code}`);
  return `# Cancelled calls, and a frozen Postgres

${formatMachine(machine)}

${missed.length === 0 ? 'Every target is met.' : `Missed:\n${missed.map(line => `- ${line}`).join('\n')}`}

Calls over Connect and gRPC, at a constant rate, each cancelled at a random point of its first ${cancelledWithinMs} ms while a lock holds all writes up for
ever. The ages are those of their statements in pg_stat_activity, from the start of the statement.

${markdownTable(
  ['calls/s', 'cancelled calls', 'CPU', 'looks', 'statements seen', `older than ${limitMs} ms`, 'target', 'oldest, ms'],
  cancelled.map(({ rate, calls, cpuShare, looks, statements, late, oldestMs }) =>
    [rate, calls, `${(cpuShare * 100).toFixed(0)} %`, looks, statements, late, 0, oldestMs.toFixed(0)].map(String),
  ),
)}

Every process of Postgres stopped by SIGSTOP: ${frozen.calls} calls with deadlines of 50 to 500 ms, ten at a time, ended with ${codes.join(', ')}.
They outlived their deadlines, as the client saw it, by ${at(0.5)} ms (median), ${at(0.99)} ms (p99), ${at(1)} ms (most); target: none by ${MOST_OVERRUN_MS} ms.
`;
}

const MOST_OVERRUN_MS = 50;
