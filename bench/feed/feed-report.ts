import { formatMachine, type Machine } from '../machine.ts';
import { formatQuartiles } from '../quartiles.ts';
import { markdownTable } from '../results.ts';
import type { DeliveryCost } from './delivery-cost.ts';
import { type NotifyCost, WAYS } from './notify-cost.ts';
import type { Staleness } from './staleness.ts';
import type { StalledWatchers } from './stalled-watchers.ts';

/** All that the scenario `feed` found; a part that was not run keeps what it found before. */
export interface FeedResult {
  readonly notify?: Part<readonly NotifyCost[]>;
  readonly stalled?: Part<StalledWatchers>;
  readonly delivery?: Part<DeliveryCost>;
  readonly staleness?: Part<{ readonly calm: Staleness; readonly faults: Staleness }>;
}

export interface Part<T> {
  readonly machine: Machine;
  readonly found: T;
}

/** What is beyond its figure. */
export function missedTargets({ stalled, staleness }: FeedResult): string[] {
  const missed: string[] = [];
  if (stalled !== undefined) {
    const { rssMiBMore, p99Ratio } = stalled.found;
    if (rssMiBMore > 64) missed.push(`stalled watchers: +${rssMiBMore.toFixed(0)} MiB (at most 64)`);
    if (stalled.found.failed > 0) missed.push(`stalled watchers: ${stalled.found.failed} calls of others failed`);
    if (p99Ratio > 1.1)
      missed.push(`stalled watchers: others' p99 is ${p99Ratio.toFixed(2)} of what it was (at most 1.10)`);
  }
  if (staleness !== undefined) {
    const { calm, faults } = staleness.found;
    if (!(calm.ms.p99 < 50)) missed.push(`staleness: p99 ${calm.ms.p99.toFixed(0)} ms (below 50)`);
    for (const [name, found] of Object.entries({ calm, faults })) {
      if (found.tokenViolations > 0)
        missed.push(`${name}: ${found.tokenViolations} reads missed the write of their token`);
      if (found.ownStale > 0) missed.push(`${name}: ${found.ownStale} reads missed a write of their own instance`);
    }
  }
  return missed;
}

export function feedReport(result: FeedResult): string {
  const missed = missedTargets(result);
  return [
    '# The change feed',
    missed.length === 0 ? 'Every target is met.' : `Missed:\n\n${missed.map(line => `- ${line}`).join('\n')}`,
    ...(result.notify === undefined ? [] : [notifySection(result.notify)]),
    ...(result.staleness === undefined ? [] : [stalenessSection(result.staleness)]),
    ...(result.stalled === undefined ? [] : [stalledSection(result.stalled)]),
    ...(result.delivery === undefined ? [] : [deliverySection(result.delivery)]),
  ]
    .join('\n\n')
    .concat('\n');
}

function notifySection({ machine, found }: Part<readonly NotifyCost[]>): string {
  const rows = found.map(({ writers, perSecond }) => [
    String(writers),
    ...WAYS.map(way => formatQuartiles(perSecond[way], 0)),
  ]);
  return `## What it costs writers that readers are notified

${formatMachine(machine)}

Inserts a second, each a transaction of its own that waits for the disk, by so many connections; medians (quartiles) of rounds of a second
that take turns. As shipped, instances notify each other after their commits, a hundred times a second here. NOTIFY in the trigger is
what one would write first: Postgres lets one transaction at a time commit that has notified, so that they no longer share a flush of the
disk. That is its limit, which more writers do not raise.

${markdownTable(['writers', ...WAYS], rows)}`;
}

function stalenessSection({ machine, found }: Part<{ readonly calm: Staleness; readonly faults: Staleness }>): string {
  const rows = Object.entries(found).map(([name, s]) => [
    name,
    s.seconds.toFixed(0),
    String(s.writes),
    String(s.reads),
    s.ms.median.toFixed(1),
    s.ms.p99.toFixed(1),
    s.ms.most.toFixed(1),
    String(s.ownStale),
    String(s.tokenViolations),
    String(s.failed),
  ]);
  const head = [
    '',
    's',
    'writes',
    'reads',
    'median ms',
    'p99 ms',
    'most ms',
    'own stale',
    'token violations',
    'failed calls',
  ];
  return `## How soon other instances follow

${formatMachine(machine)}

Three instances, each with the posts in its cache, after 5 s of the same. A write is acknowledged by one; until when do the others serve what was before? \`own
stale\`: reads at the writing instance that did not have it. \`token violations\`: reads elsewhere that carried its consistency token and did
not have it. With faults the feed's connections are ended each 3 s, and all of the service's each 10 s. Target: p99 below 50 ms, and none
of the other two.

${markdownTable(head, rows)}`;
}

function stalledSection({ machine, found }: Part<StalledWatchers>): string {
  const { streams, changes, failed, rssMiBWithout, rssMiBMore, p99MsWithout, p99MsWith } = found;
  return `## What watchers cost that do not read (R21)

${formatMachine(machine)}

${streams} streams of WatchPosts that give the service no window to send in, while ${changes} changes of 2.5 KB each are made. The service's memory
grew from ${rssMiBWithout.toFixed(0)} MiB by ${rssMiBMore.toFixed(0)} MiB at most (target: 64). The p99 of others' GetPost once all have stalled, medians of the rounds: ${p99MsWithout.toFixed(2)} ms
without, ${p99MsWith.toFixed(2)} ms with them; with, of the two phases without in the same round: ${found.p99Ratio.toFixed(2)} (target: 1.10; without against without: ${found.p99AaRatio.toFixed(2)}). ${failed} of their calls failed.`;
}

function deliverySection({ machine, found }: Part<DeliveryCost>): string {
  const rows = Object.entries(found.microseconds).map(([name, of]) => [name, formatQuartiles(of, 1)]);
  return `## What it costs to tell a watcher of a change

${formatMachine(machine)}

Processor time of the service, in microseconds a delivery: what it takes more of with ${found.watchers} watchers of all posts than without any, while ${found.changes}
changes are made by hand, 50 a second. Medians (quartiles) of the rounds.

${markdownTable(['protocol', 'us a delivery'], rows)}`;
}
