import { drawBarChart } from './bar-chart.ts';
import type { Explained } from './explain.ts';
import { formatMachine, type Machine } from './machine.ts';
import type { MeasuredList } from './measure-lists.ts';
import type { MeasuredWrites } from './measure-writes.ts';
import { formatQuartiles } from './quartiles.ts';
import { markdownTable } from './results.ts';

/** All that the scenario `lists` found. */
export interface ListsResult {
  readonly machine: Machine;
  readonly posts: number;
  /** Of the database, with its unit. */
  readonly size: string;
  readonly rounds: number;
  readonly lists: readonly MeasuredList[];
  readonly writes: MeasuredWrites;
}

/** The lists whose deep page costs more than 1.2 times their first one, or one of whose pages reads more than 8 MiB. */
export function missedTargets({ lists }: ListsResult): string[] {
  return lists.flatMap(list => {
    const name = `${list.filter}, ${list.order}`;
    const ratio = deepRatio(list);
    const buffers = Math.max(list.plans.first.buffers, list.plans.deep.buffers);
    return [
      ...(ratio > MOST_RATIO ? [`${name}: page ${list.deepPage} costs ${ratio.toFixed(2)} of page 1`] : []),
      ...(buffers > MOST_BUFFERS ? [`${name}: a page of the list reads ${buffers} pages of the database`] : []),
    ];
  });
}

export function listsReport(result: ListsResult): string {
  const { machine, posts, size, rounds, lists, writes } = result;
  const missed = missedTargets(result);
  const example = lists[0];
  const detours = lists.filter(({ plans }) => plans.first.detours.length + plans.deep.detours.length > 0);
  return `# Lists: page 50,000 against page 1

${formatMachine(machine)}

${posts.toLocaleString('en-GB')} posts (${size}) made of real ones; Postgres as the service starts it. Each call is the store's own \`list()\` of 20 posts;
page 50,000 ends with the 1,000,000th post, shorter lists are measured at their last full page. ${rounds} rounds, in each of which page 1,
page 1 once more (A/A: the noise) and the deep page take turns with 20 calls. Times in milliseconds: median (quartiles). "Deep/first" is the
ratio of the medians; target: at most ${MOST_RATIO}, and no page that reads more than ${MOST_BUFFERS} pages of the database (buffers). OFFSET is the same page by \`offset\`, with its posts compared.

${missed.length === 0 ? 'Every target is met.' : `Missed:\n${missed.map(line => `- ${line}`).join('\n')}`}

Lists whose plan is more than ranges of indexes: ${detours.map(({ filter, order }) => `${filter} by \`${order}\``).join('; ') || 'none'}.

![Page 1, page 50,000 and the same page by OFFSET](lists.svg)

${markdownTable(
  [
    'list',
    'posts',
    'deep page',
    'page 1',
    'deep',
    'deep/first',
    'A/A',
    'by OFFSET',
    'buffers first, deep',
    'index of the deep page',
  ],
  lists.map(list => [
    `${list.filter}, \`${list.order}\``,
    String(list.posts),
    String(list.deepPage),
    formatQuartiles(list.first.ms, 2),
    formatQuartiles(list.deep.ms, 2),
    deepRatio(list).toFixed(2),
    (list.control.ms.median / list.first.ms.median).toFixed(2),
    list.offsetMs.median.toFixed(list.offsetMs.median < 10 ? 1 : 0),
    `${list.plans.first.buffers}, ${list.plans.deep.buffers}`,
    [...list.plans.deep.indexes, ...list.plans.deep.detours].join(', '),
  ]),
)}

## Writes among as many posts

${markdownTable(
  ['call', 'milliseconds'],
  Object.entries(writes).map(([name, ms]) => [name, formatQuartiles(ms, 2)]),
)}

## Plans

Those of the first list, as EXPLAIN (ANALYZE, BUFFERS) prints them; the deep one ran before anything had read that page. All others are in
[lists-plans.md](lists-plans.md).

${example === undefined ? '' : planSection('Page 1', example.plans.first) + planSection(`Page ${example.deepPage}`, example.plans.deep)}`;
}

/** The plans of all lists. */
export function listsPlans({ machine, lists }: ListsResult): string {
  const sections = lists.map(
    ({ filter, order, deepPage, plans }) =>
      `## ${filter}, ${order}\n\n${planSection('Page 1', plans.first)}${planSection(`Page ${deepPage}`, plans.deep)}`,
  );
  return `# Plans of the lists\n\n${formatMachine(machine)}\n\n${sections.join('')}`;
}

/** The lists without a filter, the only ones with a page 50,000 in every order. */
export function listsChart({ machine, lists, posts }: ListsResult): string {
  return drawBarChart({
    title: 'Page 50,000 of a list costs what page 1 costs',
    subtitle: `one page of 20 among ${posts.toLocaleString('en-GB')} posts; median and quartiles, logarithmic; ${machine.date.slice(0, 10)}`,
    unit: 'ms',
    scale: 'log',
    series: ['page 1', 'page 50,000', 'page 50,000 by OFFSET'],
    groups: lists
      .filter(list => list.filter === lists[0]?.filter)
      .map(list => ({ label: list.order, bars: [list.first.ms, list.deep.ms, list.offsetMs] })),
  });
}

const MOST_RATIO = 1.2;
/** Of 8 KiB; from memory that is some 2 ms. */
const MOST_BUFFERS = 1000;

function deepRatio({ first, deep }: MeasuredList): number {
  return deep.ms.median / first.ms.median;
}

function planSection(title: string, { text }: Explained): string {
  return `${title}:\n\n\`\`\`\n${text}\n\`\`\`\n\n`;
}
