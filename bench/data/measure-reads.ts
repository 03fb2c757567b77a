import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { POST_STATEMENTS } from '#src/posts/store/post-read-statements.ts';
import { type Quartiles, quartiles } from '../quartiles.ts';
import type { ReadArm } from './read-arms.ts';

/** What one way of reading achieved, with so many concurrent callers. */
export interface MeasuredReads {
  readonly name: string;
  readonly callers: number;
  readonly perSecond: Quartiles;
  /** CPU time of this process, in microseconds a read; unset for another program. */
  readonly cpuUs?: Quartiles;
  /** Its rate divided by the first arm's, paired by round. */
  readonly ratio: Quartiles;
}

/** Measures the arms in turns, in slices of 0.3 s. pgbench runs the same statement over as many connections as there are lanes. */
export async function measureReads(
  arms: readonly ReadArm[],
  pgbench: Pgbench | undefined,
  ids: readonly string[],
  callers: number,
  rounds: number,
): Promise<MeasuredReads[]> {
  const rates = new Map<string, number[]>();
  const cpus = new Map<string, number[]>();
  const note = (found: Map<string, number[]>, name: string, value: number) =>
    found.set(name, [...(found.get(name) ?? []), value]);
  for (let round = 0; round < rounds; round++) {
    for (let turn = 0; turn < arms.length; turn++) {
      const { name, read } = arms[(round + turn) % arms.length] as ReadArm;
      const cpu = process.cpuUsage();
      const begin = performance.now();
      let reads = 0;
      const caller = async (first: number) => {
        for (let n = first; performance.now() - begin < SLICE_MS; n += callers) {
          await read(ids[n % ids.length] as string);
          reads++;
        }
      };
      await Promise.all(Array.from({ length: callers }, (_, n) => caller(n)));
      const seconds = (performance.now() - begin) / 1000;
      const { user, system } = process.cpuUsage(cpu);
      note(rates, name, reads / seconds);
      note(cpus, name, (user + system) / reads);
    }
    if (pgbench !== undefined) note(rates, pgbench.name, await pgbench.run());
  }
  const first = rates.get(arms[0]?.name ?? '') ?? [];
  return [...rates].map(([name, values]) => ({
    name,
    callers,
    perSecond: quartiles(values),
    ...(cpus.has(name) && { cpuUs: quartiles(cpus.get(name) ?? []) }),
    ratio: quartiles(first.map((rate, n) => rate / (values[n] ?? Number.NaN))),
  }));
}

/** Postgres' own load generator. */
export interface Pgbench {
  readonly name: string;
  /** Reads a second. */
  readonly run: () => Promise<number>;
}

/** @returns undefined if it is not installed (Debian: postgresql-contrib, or postgresql-NN). */
export async function openPgbench(url: string, ids: readonly string[], folder: string): Promise<Pgbench | undefined> {
  const some = ids.slice(0, IDS);
  const script = join(folder, 'read-by-id.sql');
  // pgbench has no variables of type UUID, so each id has a line.
  await writeFile(script, some.map((_, n) => `${POST_STATEMENTS.byId.text.replace('$1', `:id${n}`)};\n`).join(''));
  const defines = some.flatMap((id, n) => ['-D', `id${n}=${id}`]);
  const program = await findPgbench();
  if (program === undefined) return undefined;
  const args = ['-n', '-M', 'prepared', '-c', '2', '-j', '1', '-T', '1', '-f', script, ...defines, url];
  return {
    name: 'pgbench -M prepared, 2 connections',
    run: async () => {
      const { stdout } = await promisify(execFile)(program, args);
      return Number(/tps = ([\d.]+)/.exec(stdout)?.[1]) * some.length;
    },
  };
}

async function findPgbench(): Promise<string | undefined> {
  for (const program of ['pgbench', ...[18, 17, 16, 15].map(n => `/usr/lib/postgresql/${n}/bin/pgbench`)]) {
    const found = await promisify(execFile)(program, ['--version']).then(
      () => true,
      () => false,
    );
    if (found) return program;
  }
  return undefined;
}

const SLICE_MS = 300;
const IDS = 50;
