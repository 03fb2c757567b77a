import { join } from 'node:path';
import { type Quartiles, quartiles } from '../quartiles.ts';
import { type ContestantProcess, startContestant } from '../transport/contestant-process.ts';
import { readOverHttp1 } from './http1-reads.ts';

/** GetPost of posts that are in no cache, from end to end. */
export interface MeasuredColdCalls {
  readonly name: string;
  readonly perSecond: Quartiles;
  /** CPU time of the server's process, without Postgres, in microseconds a call. */
  readonly cpuUs: Quartiles;
}

/**
 * Measures ours without a cache, and connect-node with plain Kysely, in turns, each in a process of its own. Postgres, the generator and the server
 * share the machine, so the CPU time a call is the more reliable figure.
 */
export async function measureColdCalls(
  ours: readonly string[],
  databaseUrl: string,
  ids: readonly string[],
  rounds: number,
): Promise<MeasuredColdCalls[]> {
  await using parts = new AsyncDisposableStack();
  const servers: readonly (readonly [string, ContestantProcess])[] = [
    ['ours, without a cache', parts.use(await startContestant(ours, 0))],
    ['ours, second process', parts.use(await startContestant(ours, 0))],
    ['connect-node with Kysely', parts.use(await startContestant([...PLAIN, '--database', databaseUrl], 0))],
  ];
  const rates = new Map<string, number[]>();
  const cpus = new Map<string, number[]>();
  for (let round = -1; round < rounds; round++) {
    for (let turn = 0; turn < servers.length; turn++) {
      const [name, server] = servers[(round + 1 + turn) % servers.length] as (typeof servers)[number];
      const cpu = server.cpuUs();
      const begin = performance.now();
      const calls = await readOverHttp1(server.port, ids, CONNECTIONS, SLICE_MS);
      if (round < 0) continue;
      rates.set(name, [...(rates.get(name) ?? []), (calls * 1000) / (performance.now() - begin)]);
      cpus.set(name, [...(cpus.get(name) ?? []), (server.cpuUs() - cpu) / calls]);
    }
  }
  return servers.map(([name]) => ({
    name,
    perSecond: quartiles(rates.get(name) ?? []),
    cpuUs: quartiles(cpus.get(name) ?? []),
  }));
}

const PLAIN = ['node', join(import.meta.dirname, 'connect-kysely-server.ts')];
const CONNECTIONS = 32;
const SLICE_MS = 500;
