import { performance } from 'node:perf_hooks';
import { parseArgs } from 'node:util';
import { create, toJsonString } from '@bufbuild/protobuf';
import { GetPostResponseSchema } from '#gen/blog/v1/post_service_pb.js';
import { parseConfig } from '#src/config/config.ts';
import { createCompressor } from '#src/wire/compressor.ts';
import { readCorpus } from './corpus.ts';
import { describeMachine, formatMachine } from './machine.ts';
import { formatQuartiles, type Quartiles, quartiles } from './quartiles.ts';
import { Random } from './random.ts';
import { markdownTable, writeResults } from './results.ts';

/**
 * Measures from which size compressing an answer pays. It compares the CPU time of all threads with the time that the saved bytes would take
 * on a link. The answer is a post in JSON, with the text of real posts.
 *
 * @param args the folder of posts; `--rounds` (15).
 * @returns a line if the default of COMPRESS_MIN_BYTES does not pay.
 */
export async function benchCompression(args: readonly string[]): Promise<string[]> {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: { rounds: { type: 'string', default: '15' } },
  });
  const [dir] = positionals;
  if (dir === undefined) throw new Error('which folder of Markdown posts? npm run bench compression DIR');
  const machine = describeMachine();
  const random = new Random(3);
  const { passages } = await readCorpus(dir, random);
  const rows: Row[] = [];
  for (const size of SIZES) {
    const answers = Array.from({ length: ANSWERS }, () => answerOf(size, passages, random));
    for (const encoding of ['gzip', 'br']) rows.push(await measure(encoding, size, answers, Number(values.rounds)));
  }
  const { compressMinBytes } = parseConfig({});
  const report = reportOf(rows, formatMachine(machine), compressMinBytes);
  console.log(report);
  await writeResults({ 'compression.md': report, 'compression.json': { machine, compressMinBytes, rows } });
  return rows
    .filter(row => row.size >= compressMinBytes && row.paysBelowMbit.median < LINK_MBIT)
    .map(row => `${row.encoding} of ${row.size} bytes pays below ${row.paysBelowMbit.median.toFixed(0)} Mbit/s only`);
}

/** @returns JSON of about so many bytes. */
function answerOf(size: number, passages: readonly string[], random: Random): Uint8Array {
  let content = '';
  while (content.length < size) content += `${passages[random.below(passages.length)]}\n\n`;
  const post = {
    id: '019a8f3c-5b7e-7c1a-9d2e-0f4b6a8c1d3e',
    slug: 'a-post',
    title: 'A post',
    content: content.slice(0, Math.max(0, size - 160)).toWellFormed(),
    etag: 'W5yV0mJ2kq8',
  };
  return Buffer.from(toJsonString(GetPostResponseSchema, create(GetPostResponseSchema, { post })));
}

async function measure(encoding: string, size: number, answers: readonly Uint8Array[], rounds: number): Promise<Row> {
  const compressor = createCompressor({ minBytes: 0, concurrency: 1 });
  const cpu: number[] = [];
  const pays: number[] = [];
  let share = 0;
  for (let round = -3; round < rounds; round++) {
    const before = process.cpuUsage();
    let from = 0;
    let to = 0;
    const until = performance.now() + ROUND_MS;
    let count = 0;
    while (performance.now() < until) {
      for (const answer of answers) {
        from += answer.length;
        to += (await compressor.compress(encoding, answer))?.length ?? 0;
        count++;
      }
    }
    const { user, system } = process.cpuUsage(before);
    if (round < 0) continue;
    cpu.push((user + system) / count);
    pays.push(((from - to) * 8) / (user + system));
    share = to / from;
  }
  return { encoding, size, cpuUs: quartiles(cpu), share, paysBelowMbit: quartiles(pays) };
}

function reportOf(rows: readonly Row[], machine: string, minBytes: number): string {
  return `# Compression

${machine}

A GetPost answer in JSON with text of real posts, compressed as the service does it. CPU: of all threads, median (quartiles).
The last column: on a link slower than that, the bytes that are saved take longer than compressing them; so for one client alone
it pays there. COMPRESS_MIN_BYTES is ${minBytes} by default: from there on it has to pay on a link of ${LINK_MBIT} Mbit/s.

${markdownTable(
  ['bytes', 'encoding', 'CPU, us', 'left of it', 'pays below, Mbit/s'],
  rows.map(row => [
    String(row.size),
    row.encoding,
    formatQuartiles(row.cpuUs, 0),
    `${(row.share * 100).toFixed(0)} %`,
    formatQuartiles(row.paysBelowMbit, 0),
  ]),
)}
`;
}

const SIZES = [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536];
const ANSWERS = 20;
const ROUND_MS = 100;
/** A good connection at home. Within a data centre compression never pays. */
const LINK_MBIT = 100;

interface Row {
  readonly encoding: string;
  readonly size: number;
  readonly cpuUs: Quartiles;
  /** The share of the bytes that is left, from 0 to 1. */
  readonly share: number;
  readonly paysBelowMbit: Quartiles;
}
