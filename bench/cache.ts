import { parseArgs } from 'node:util';
import { createLogger } from '#src/observability/logger.ts';
import { makeAnswers } from './cache/cached-posts.ts';
import { type HitRatio, measureHitRatios } from './cache/hit-ratio.ts';
import { type HitTime, measureHitTime } from './cache/hit-time.ts';
import { measurePostMemory, type PostMemory } from './cache/post-memory.ts';
import { readCorpus } from './corpus.ts';
import { describeMachine, formatMachine, type Machine } from './machine.ts';
import { formatQuartiles } from './quartiles.ts';
import { Random } from './random.ts';
import { markdownTable, writeResults } from './results.ts';

/**
 * Measures the cache in the process: the time of a hit, the memory of a post, and the hit ratio against plain LRU.
 *
 * @param args `--posts`: a folder of Markdown posts (default: test/fixtures/posts). The cached posts are made of them.
 * @returns the missed targets.
 */
export async function benchCache(args: readonly string[]): Promise<string[]> {
  const options = { posts: { type: 'string', default: 'test/fixtures/posts' } } as const;
  const { values } = parseArgs({ args: [...args], options });
  const machine = describeMachine();
  const corpus = await readCorpus(values.posts, new Random(1));
  const memory = measurePostMemory(corpus, 20_000);
  const time = await measureHitTime(
    makeAnswers(corpus, 1000),
    await createLogger({ level: 'fatal', format: 'json' }),
    9,
  );
  const ratios = measureHitRatios(makeAnswers(corpus, 50_000), 1_000_000);
  const missed = time.store.median < 2 ? [] : [`a hit in the store: ${time.store.median.toFixed(2)} µs (below 2)`];
  const report = cacheReport({ machine, memory, time, ratios }, missed);
  console.log(report);
  await writeResults({ 'cache.md': report, 'cache.json': { machine, memory, time, ratios } });
  return missed;
}

interface CacheResult {
  readonly machine: Machine;
  readonly memory: PostMemory;
  readonly time: HitTime;
  readonly ratios: readonly HitRatio[];
}

function cacheReport({ machine, memory, time, ratios }: CacheResult, missed: readonly string[]): string {
  const percent = (share: number) => `${(share * 100).toFixed(1)} %`;
  const rows = ratios.map(({ trace, room, sieve, lru }) => [trace, percent(room), percent(sieve), percent(lru)]);
  return `# The cache in the process

${formatMachine(machine)}

${missed.length === 0 ? 'Every target is met.' : `Missed:\n\n${missed.map(line => `- ${line}`).join('\n')}`}

## A hit

GetPost's read of a post that is cached, among a thousand, in microseconds: ${formatQuartiles(time.store, 2)} through the store, with all that
makes sure that it is current (target: below 2); ${formatQuartiles(time.nearCache, 2)} in the near store, and ${formatQuartiles(time.keyv, 2)} through Keyv.

## Memory

A post of ${memory.text.toFixed(0)} characters takes ${memory.heap.toFixed(0)} bytes of memory. \`CACHE_NEAR_BYTES\` counts ${memory.counted.toFixed(0)} for it, since the messages
that are made of it, and their bytes in protobuf and JSON, are remembered with it once it was asked for in each format.

## Hits

50,000 posts, a million reads by Zipf's law, on SIEVE and on plain least-recently-used, with room for a part of the posts' bytes. In the second
trace somebody reads all posts one after the other after each 200,000 reads, as a crawler does; those reads are not counted.

${markdownTable(['trace', 'room', 'SIEVE (ours)', 'LRU'], rows)}
`;
}
