/**
 * `npm run faults [ROW]… [-- --seconds 30 --soak 10]`: breaks what the service stands on, row by row, under a constant load with a ledger of all
 * writes. It reports whether each target is met. Results go to bench/results, beside those of earlier runs.
 *
 * R20 (the soak) and R30 (which needs Python, etcd and Debian's Postgres) run only if they are named.
 */
import { parseArgs } from 'node:util';
import { CLIENT_ROWS } from './faults/client-rows.ts';
import type { Figure } from './faults/figures.ts';
import { HISTORY_ROWS } from './faults/history-rows.ts';
import { LARGE_ANSWERS_ROW } from './faults/large-answers-row.ts';
import type { CallRecord } from './faults/ledger.ts';
import { OVERLOAD_ROWS } from './faults/overload-rows.ts';
import { PATRONI_ROW } from './faults/patroni-rows.ts';
import { POSTGRES_ROWS } from './faults/postgres-rows.ts';
import { PROCESS_ROWS } from './faults/process-rows.ts';
import { REDIS_ROWS } from './faults/redis-rows.ts';
import { RESTART_ROWS } from './faults/restart-rows.ts';
import { RESUME_ROWS } from './faults/resume-rows.ts';
import type { FaultRow, RunLength } from './faults/row.ts';
import { soakRow } from './faults/soak-row.ts';
import { TESTED_ROWS } from './faults/tested-rows.ts';
import { drawTimelines } from './faults/timeline-chart.ts';
import { WATCHER_ROWS } from './faults/watcher-rows.ts';
import { describeMachine, formatMachine, type Machine } from './machine.ts';
import { markdownTable, readEarlierRows, writeResults } from './results.ts';

const { values, positionals } = parseArgs({
  options: {
    /** Seconds of load for each row. The fault begins after a third of them, and lasts another third. */
    seconds: { type: 'string', default: '30' },
    /** Minutes of R20. */
    soak: { type: 'string', default: '10' },
  },
  allowPositionals: true,
});
const third = Number(values.seconds) / 3;
const length: RunLength = { total: third * 3, faultAt: third, faultFor: third };
const always = [
  ...[...POSTGRES_ROWS, ...REDIS_ROWS, ...RESTART_ROWS, ...PROCESS_ROWS],
  ...[...OVERLOAD_ROWS, ...WATCHER_ROWS, ...RESUME_ROWS, ...TESTED_ROWS, ...HISTORY_ROWS, ...CLIENT_ROWS],
  LARGE_ANSWERS_ROW,
];
const rows = [...always, soakRow(Number(values.soak)), PATRONI_ROW];
const unknown = positionals.filter(id => !rows.some(row => row.id === id));
if (unknown.length > 0) {
  console.error(`There is no row ${unknown.join(', ')}; there is ${rows.map(({ id }) => id).join(', ')}.`);
  process.exit(2);
}

/** The most calls of each row and subject that are kept for the chart. */
const STORED_MAX = 3000;
const missed: string[] = [];
for (const row of positionals.length === 0 ? always : rows.filter(({ id }) => positionals.includes(id))) {
  const machine = describeMachine();
  console.log(`\n${row.id}, ${row.fault}`);
  const { figures, series = {} } = await row.run(length);
  for (const { name, bare, value, target, isMet } of figures) {
    const verdict = target === '' ? '' : ` (${target}) ${isMet ? 'met' : 'MISSED'}`;
    console.log(`  ${name}: ${value}${verdict}${bare ? `; connect-node and pg alone: ${bare}` : ''}`);
    if (isMet === false) missed.push(`${row.id}, ${row.fault}: ${name}: ${value} (${target})`);
  }
  await merge(row, { machine, fault: row.fault, figures, series: thin(series) });
}
for (const line of missed) console.error(`MISSED ${line}`);
process.exit(missed.length > 0 ? 1 : 0);

interface StoredRow {
  readonly machine: Machine;
  readonly fault: string;
  readonly figures: readonly Figure[];
  readonly series: Readonly<Record<string, readonly CallRecord[]>>;
}

async function merge({ id }: FaultRow, row: StoredRow): Promise<void> {
  const all: Record<string, StoredRow> = { ...(await readEarlierRows<StoredRow>('faults.json')), [id]: row };
  const ids = Object.keys(all).sort((a, b) => Number(a.slice(1)) - Number(b.slice(1)));
  const lines = ids.flatMap(known =>
    (all[known]?.figures ?? []).map(({ name, bare = '', value, target, isMet }, n) => [
      n === 0 ? `${known}: ${all[known]?.fault}` : '',
      name,
      bare,
      value,
      target,
      isMet === undefined ? '' : isMet ? 'met' : '**missed**',
    ]),
  );
  const runs = ids.map(
    known => `- ${known}: \`npm run faults ${known}\`, ${formatMachine(all[known]?.machine as Machine)}`,
  );
  const charts = ids.map(known => ({ title: `${known}, ${all[known]?.fault}`, series: all[known]?.series ?? {} }));
  const table = markdownTable(
    ['fault', 'figure', 'connect-node and pg alone', 'PostService', 'target', 'verdict'],
    lines,
  );
  await writeResults({
    'faults.md': `# Faults\n\n![calls over time](faults.svg)\n\n${table}\n\n${runs.join('\n')}\n`,
    'faults.svg': drawTimelines(charts),
    'faults.json': JSON.stringify({ rows: Object.fromEntries(ids.map(known => [known, all[known]])) }),
  });
}

function thin(series: Readonly<Record<string, readonly CallRecord[]>>): Record<string, readonly CallRecord[]> {
  const thinned = Object.entries(series).map(([name, records]) => {
    const every = Math.ceil(records.length / STORED_MAX);
    const kept = records.filter((_, n) => n % every === 0);
    const rounded = kept.map(record => ({
      ...record,
      atMs: Math.round(record.atMs),
      tookMs: Math.round(record.tookMs),
    }));
    return [name, rounded];
  });
  return Object.fromEntries(thinned);
}
