import { parseArgs } from 'node:util';
import {
  create,
  type DescMessage,
  fromBinary,
  fromJsonString,
  type Message,
  toBinary,
  toJsonString,
} from '@bufbuild/protobuf';
import {
  BatchCreatePostsRequestSchema,
  CreatePostRequestSchema,
  GetPostRequestSchema,
  ListPostsRequestSchema,
} from '#gen/blog/v1/post_service_pb.js';
import { decodeRequest } from '#src/rpc/unary/codec/decode-request.ts';
import { measureInterleaved } from './interleaved-rounds.ts';
import { describeMachine, formatMachine } from './machine.ts';
import { formatQuartiles, type Quartiles } from './quartiles.ts';
import { markdownTable, writeResults } from './results.ts';

/**
 * Measures the cost of the strict decoding of requests, against decoding by protobuf-es alone, as connect-node does it. Nothing is cached; in the
 * service, small requests that repeat cost neither.
 *
 * @param args `--rounds` (25).
 * @returns a line for each message that takes MORE_MAX_US longer, and also MORE_MAX times as long.
 */
export async function benchDecode(args: readonly string[]): Promise<string[]> {
  const { values } = parseArgs({ args: [...args], options: { rounds: { type: 'string', default: '25' } } });
  const machine = describeMachine();
  const rows: Row[] = [];
  for (const sample of SAMPLES) rows.push(...(await measure(sample, Number(values.rounds))));
  const report = reportOf(rows, formatMachine(machine));
  console.log(report);
  await writeResults({ 'decode.md': report, 'decode.json': { machine, rows } });
  return rows
    .filter(({ plainUs, strictUs, ratio }) => strictUs.median - plainUs.median > MORE_MAX_US && ratio.median > MORE_MAX)
    .map(({ name, ratio }) => `${name}: strict decoding takes ${ratio.median.toFixed(2)} times as long`);
}

async function measure({ name, schema, message, calls }: Sample, rounds: number): Promise<Row[]> {
  const bytes = Buffer.from(toBinary(schema, message));
  const json = Buffer.from(toJsonString(schema, message));
  const decoder = new TextDecoder();
  const repeat = (run: () => unknown) => async () => {
    for (let call = 0; call < calls; call++) run();
  };
  const options = { ignoreUnknownFields: true };
  const plain = {
    binary: repeat(() => fromBinary(schema, bytes)),
    JSON: repeat(() => fromJsonString(schema, decoder.decode(json), options)),
  };
  const strict = {
    binary: repeat(() => decodeRequest(schema, bytes, true, options)),
    JSON: repeat(() => decodeRequest(schema, json, false, options)),
  };
  const rows: Row[] = [];
  for (const format of ['binary', 'JSON'] as const) {
    const arms = { plain: plain[format], again: plain[format], strict: strict[format] };
    const measured = await measureInterleaved(arms, { rounds, calls: 10 });
    const toUs = ({ q1, median, q3 }: Quartiles) => {
      const us = 1000 / calls;
      return { q1: q1 * us, median: median * us, q3: q3 * us };
    };
    rows.push({
      name: `${name}, ${format}`,
      bytes: format === 'binary' ? bytes.length : json.length,
      plainUs: toUs(measured.plain.ms),
      strictUs: toUs(measured.strict.ms),
      noise: measured.again.ratio,
      ratio: measured.strict.ratio,
    });
  }
  return rows;
}

function reportOf(rows: readonly Row[], machine: string): string {
  return `# Strict decoding of requests

${machine}

What it takes to decode a request that is not remembered: by protobuf-es alone, as connect-node does it, and strictly, as the service
does. Microseconds of one core, median (quartiles); the ratio is that of the same round. A/A: the first arm against itself.

${markdownTable(
  ['request', 'bytes', 'protobuf-es, us', 'strict, us', 'ratio', 'A/A'],
  rows.map(row => [
    row.name,
    String(row.bytes),
    formatQuartiles(row.plainUs, 2),
    formatQuartiles(row.strictUs, 2),
    formatQuartiles(row.ratio, 2),
    formatQuartiles(row.noise, 2),
  ]),
)}
`;
}

function createRequest(contentLength: number) {
  return create(CreatePostRequestSchema, {
    post: {
      title: 'What is new in this release',
      content: 'A line of "Markdown", with a [link](https://example.com/).\n'.repeat(contentLength / 60),
      author: 'Ada Lovelace',
      tags: ['news', 'release'],
      publishTime: { seconds: 1_790_000_000n, nanos: 0 },
    },
    requestId: '019a8f3c-5b7e-7c1a-9d2e-0f4b6a8c1d3e',
  });
}

const SAMPLES: readonly Sample[] = [
  {
    name: 'GetPost',
    schema: GetPostRequestSchema,
    message: create(GetPostRequestSchema, { key: { case: 'id', value: '019a8f3c-5b7e-7c1a-9d2e-0f4b6a8c1d3e' } }),
    calls: 2000,
  },
  {
    name: 'ListPosts',
    schema: ListPostsRequestSchema,
    message: create(ListPostsRequestSchema, { pageSize: 50, tag: 'news', orderBy: 'publish_time desc', view: 1 }),
    calls: 2000,
  },
  { name: 'CreatePost, 1 KB', schema: CreatePostRequestSchema, message: createRequest(1000), calls: 500 },
  { name: 'CreatePost, 1 MB', schema: CreatePostRequestSchema, message: createRequest(1_000_000), calls: 3 },
  {
    name: 'BatchCreatePosts, 100 of 1 KB',
    schema: BatchCreatePostsRequestSchema,
    message: create(BatchCreatePostsRequestSchema, {
      requests: Array.from({ length: 100 }, () => createRequest(1000)),
    }),
    calls: 10,
  },
];

/** A smaller difference is invisible beside the 15 µs of the fastest call. */
const MORE_MAX_US = 1;
const MORE_MAX = 1.2;

interface Sample {
  readonly name: string;
  readonly schema: DescMessage;
  readonly message: Message;
  /** How often one measurement decodes it. */
  readonly calls: number;
}

interface Row {
  readonly name: string;
  readonly bytes: number;
  readonly plainUs: Quartiles;
  readonly strictUs: Quartiles;
  readonly ratio: Quartiles;
  readonly noise: Quartiles;
}
