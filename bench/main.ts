/** `npm run bench SCENARIO [ARGUMENT]… [-- --OPTION …]`: runs one benchmark. Results are written to bench/results. */

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  cache: {
    purpose:
      'what a hit in the process takes, what a cached post takes, and how many hits there are, against plain LRU',
    run: async args => (await import('./cache.ts')).benchCache(args),
  },
  cancel: {
    purpose: 'for how long statements outlive the calls that were cancelled, and calls outlive their deadlines',
    run: async args => (await import('./cancel.ts')).benchCancel(args),
  },
  compression: {
    purpose: 'from which size on it pays to compress an answer',
    run: async args => (await import('./compression.ts')).benchCompression(args),
  },
  data: {
    purpose:
      'reads by id, cold calls and batches of creates, against plain Kysely, pg and pgbench, among a million posts',
    run: async args => (await import('./data.ts')).benchData(args),
  },
  decode: {
    purpose: 'what the strict decoding of requests costs, against that of protobuf-es alone',
    run: async args => (await import('./decode.ts')).benchDecode(args),
  },
  feed: {
    purpose: 'what the change feed costs writers, how soon instances follow, and what watchers cost that do not read',
    run: async args => (await import('./feed.ts')).benchFeed(args),
  },
  hostile: {
    purpose: 'whether slow connections, HTTP/2 floods and mutated requests hurt the service or its other clients',
    run: async args => (await import('./hostile.ts')).benchHostile(args),
  },
  'list-plans': {
    purpose: 'how much every list reads, first page and last, among a million posts that lie as badly as they can',
    run: async args => (await import('./list-plans.ts')).benchListPlans(args),
  },
  lists: {
    purpose: 'what page 50,000 of a list costs, against page 1 and against OFFSET, among a million posts',
    run: async args => (await import('./lists.ts')).benchLists(args),
  },
  load: {
    purpose: 'whether callers who wait for their answers are all served, from 8 to 512, against a plain pool',
    run: async args => (await import('./load.ts')).benchLoad(args),
  },
  startup: {
    purpose: 'how long the service takes from spawn to ready, and the memory that it has then',
    run: async args => (await import('./startup.ts')).benchStartup(args),
  },
  transport: {
    purpose: 'how many calls a core answers, against node:http, node:http2, Fastify, grpc-js and connect-node',
    run: async args => (await import('./transport/bench-transport.ts')).benchTransport(args),
  },
};

const [name = '', ...args] = process.argv.slice(2);
const scenario = Object.hasOwn(SCENARIOS, name) ? SCENARIOS[name] : undefined;
if (scenario === undefined) {
  const lines = Object.entries(SCENARIOS).map(([known, { purpose }]) => `  ${known.padEnd(12)} ${purpose}`);
  console.error(`Which benchmark? npm run bench SCENARIO\n${lines.join('\n')}`);
  process.exitCode = 2;
} else {
  const missed = await scenario.run(args);
  for (const target of missed) console.error(`MISSED ${target}`);
  process.exitCode = missed.length > 0 ? 1 : 0;
}

interface Scenario {
  readonly purpose: string;
  /** Resolves with the targets that were missed, one line each. */
  run(args: readonly string[]): Promise<readonly string[]>;
}
