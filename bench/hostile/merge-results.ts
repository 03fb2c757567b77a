import { formatMachine, type Machine } from '../machine.ts';
import { markdownTable, readEarlierRows, writeResults } from '../results.ts';
import type { Verdict } from './verdict.ts';

/** The figures of one attack, and when and where they were found. */
export interface HostileRow {
  readonly machine: Machine;
  readonly command: string;
  readonly verdicts: readonly Verdict[];
}

/** Writes rows by their ids, beside those of earlier runs, so that one can be run alone. */
export async function mergeHostileResults(rows: Readonly<Record<string, HostileRow>>): Promise<void> {
  const all = { ...(await readEarlierRows<HostileRow>('hostile.json')), ...rows };
  const ids = Object.keys(all).sort();
  const lines = ids.flatMap(id =>
    (all[id]?.verdicts ?? []).map(({ attack, figure, target, isMet }) => [
      id,
      attack,
      figure,
      target,
      isMet ? 'met' : 'MISSED',
    ]),
  );
  const runs = ids.map(id => `- ${id}: \`${all[id]?.command}\`, ${formatMachine(all[id]?.machine as Machine)}`);
  const table = markdownTable(['id', 'attack', 'figure', 'target', 'verdict'], lines);
  await writeResults({
    'hostile.md': `# Hostile input\n\n${table}\n\nH2, H3, H6, H11 and H12 are tests (\`npm test\`).\n\n${runs.join('\n')}\n`,
    'hostile.json': { rows: Object.fromEntries(ids.map(id => [id, all[id]])) },
  });
}
