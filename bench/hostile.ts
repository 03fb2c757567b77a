import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { attackWithFloods } from './hostile/http2-floods.ts';
import { mergeHostileResults } from './hostile/merge-results.ts';
import { attackWithMutations } from './hostile/mutated-frames.ts';
import { attackWithHosts } from './hostile/mutated-hosts.ts';
import { attackFromSharedAddress } from './hostile/shared-address.ts';
import { attackSlowly } from './hostile/slow-connections.ts';
import type { Verdict } from './hostile/verdict.ts';
import { describeMachine } from './machine.ts';
import { startServiceProcess } from './service-process.ts';

/**
 * Attacks the service, in a process of its own with an embedded Postgres, while good clients call it.
 *
 * @param args ids of rows, such as `H4 H5` (all); `--cases` of mutated requests (1,000,000), `--seed` of theirs (1).
 * @returns the targets that were missed.
 */
export async function benchHostile(args: readonly string[]): Promise<string[]> {
  const { values, positionals } = parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true });
  const unknown = positionals.filter(id => !Object.hasOwn(ATTACKS, id));
  if (unknown.length > 0)
    throw new Error(`there is no row ${unknown.join(', ')}, only ${Object.keys(ATTACKS).join(', ')}`);
  const missed: string[] = [];
  for (const [id, { attack, settings }] of Object.entries(ATTACKS)) {
    if (positionals.length > 0 && !positionals.includes(id)) continue;
    const machine = describeMachine();
    await using parts = new AsyncDisposableStack();
    const folder = parts.adopt(await mkdtemp(join(tmpdir(), 'postservice-bench-')), dir =>
      rm(dir, { recursive: true, force: true }),
    );
    const service = parts.use(await startServiceProcess({ DATA_DIR: folder, ...settings }));
    const verdicts = await attack(service.url, { cases: Number(values.cases), seed: Number(values.seed) });
    const rss = await service.rssMiB();
    console.log(`${id}: RSS afterwards ${rss.toFixed(0)} MiB`);
    for (const { attack: name, figure, target, isMet } of verdicts) {
      console.log(`${id}, ${name}: ${figure} (${target}) ${isMet ? 'met' : 'MISSED'}`);
      if (!isMet) missed.push(`${id}, ${name}: ${figure}`);
    }
    await mergeHostileResults({ [id]: { machine, command: `npm run bench hostile -- ${id}`, verdicts } });
  }
  return missed;
}

const OPTIONS = {
  cases: { type: 'string', default: '1000000' },
  seed: { type: 'string', default: '1' },
} as const;

const ATTACKS: Readonly<Record<string, Attack>> = {
  H1: { attack: (url, { seed }) => attackWithHosts(url, seed) },
  H4: { attack: attackSlowly },
  H5: { attack: attackWithFloods },
  H8: {
    attack: (url, { cases, seed }) => attackWithMutations(url, cases, seed),
    // A cold pool that sheds calls (UNAVAILABLE) is not what the bytes of a request did.
    settings: { DATABASE_ACQUIRE_TIMEOUT: '30s' },
  },
  H13: { attack: attackFromSharedAddress },
};

interface Attack {
  readonly attack: (url: string, options: { readonly cases: number; readonly seed: number }) => Promise<Verdict[]>;
  /** Of the service, beside its defaults. */
  readonly settings?: Readonly<Record<string, string>>;
}
