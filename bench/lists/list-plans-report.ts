import { formatMachine, type Machine } from '../machine.ts';
import { markdownTable } from '../results.ts';
import type { ListPlan } from './measure-list-plans.ts';

/** All that the scenario `list-plans` found. */
export interface ListPlansResult {
  readonly machine: Machine;
  readonly posts: number;
  readonly plans: readonly (ListPlan & { readonly distribution: string })[];
  readonly due: readonly DueCost[];
}

/** What lists by creation read while so many posts have come due that nobody has noted, and how fast they are noted. */
export interface DueCost {
  readonly waiting: number;
  readonly published: number;
  readonly scheduled: number;
  /** Of `noteDuePosts`, in batches of 500. */
  readonly notedPerSecond: number | undefined;
}

/** The lists that read more than 1,000 pages of the database, or whose deep page costs more than 1.2 times the first. */
export function missedTargets({ plans }: ListPlansResult): string[] {
  return plans.flatMap(plan => {
    const name = `${plan.distribution}: ${plan.list}`;
    const buffers = most(plan);
    return [
      ...(buffers > MOST_BUFFERS ? [`${name}: a page reads ${buffers} buffers`] : []),
      ...(ratio(plan) > MOST_RATIO ? [`${name}: the deep page costs ${ratio(plan).toFixed(2)} of the first`] : []),
    ];
  });
}

export function listPlansReport(result: ListPlansResult): string {
  const { machine, posts, plans, due } = result;
  const missed = missedTargets(result);
  const worst = plans.toSorted((a, b) => most(b) - most(a));
  const deepest = plans.toSorted((a, b) => ratio(b) - ratio(a)).slice(0, 20);
  return `# Plans of every list, at its worst

${formatMachine(machine)}

${posts.toLocaleString('en-GB')} posts: one author has half of them, one tag is on all, a fifth is deleted; the states lie in ${new Set(plans.map(({ distribution }) => distribution)).size} ways along the order of
creation. ${plans.length} lists (7 filters × 4 states × with deleted posts or without × 6 orders, in each way), each on its first page of 20 and its
last full one: ${2 * plans.length} plans. Targets: at most ${MOST_BUFFERS} buffers of 8 KiB a page, and a deep page costs at most ${MOST_RATIO} times the first (medians of
milliseconds; "again" is the first page once more, the noise). Lists whose ratio was above ${MOST_RATIO} were measured again, for longer.

${missed.length === 0 ? 'Every target is met.' : `Missed:\n\n${missed.map(line => `- ${line}`).join('\n')}`}

## Posts that have come due

Until it is noted that a scheduled post's time has come, lists of published posts by creation or update read it beside the page, and those of
scheduled ones pass over it. PURGE_INTERVAL says how often they are noted; a post is left for a minute. Buffers of the worst such list, by how many wait:

${markdownTable(
  ['posts that wait', 'published, buffers', 'scheduled, buffers', 'noted, a second'],
  due.map(row => [...[row.waiting, row.published, row.scheduled].map(String), row.notedPerSecond?.toFixed(0) ?? '']),
)}

## The deepest ratios

${table(deepest)}

## All, the most buffers first

${table(worst)}
`;
}

function table(plans: ListPlansResult['plans']): string {
  return markdownTable(
    ['list', 'states', 'buffers first, deep', 'ms first', 'again', 'deep', 'deep/first', 'indexes and detours'],
    plans.map(plan => [
      plan.list,
      plan.distribution,
      `${plan.buffers.first}, ${plan.buffers.deep}`,
      ...[plan.ms.first, plan.ms.control, plan.ms.deep].map(ms => ms.toFixed(2)),
      ratio(plan).toFixed(2),
      [...plan.indexes, ...plan.detours].join(', '),
    ]),
  );
}

const MOST_BUFFERS = 1000;
const MOST_RATIO = 1.2;

function most({ buffers }: ListPlan): number {
  return Math.max(buffers.first, buffers.deep);
}

function ratio({ ms }: ListPlan): number {
  return ms.deep / ms.first;
}
