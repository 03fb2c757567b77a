import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { attackWithFloods } from './hostile/http2-floods.ts';
import { attackWithMutations } from './hostile/mutated-frames.ts';
import { attackSlowly } from './hostile/slow-connections.ts';
import type { Verdict } from './hostile/verdict.ts';
import { describeMachine, formatMachine } from './machine.ts';
import { markdownTable, writeResults } from './results.ts';
import { startServiceProcess } from './service-process.ts';

/**
 * Attacks the service, in a process of its own with an embedded Postgres, while good clients call it.
 *
 * @param args `--only H4` (all), `--cases` of mutated requests (1,000,000), `--seed` of theirs (1).
 * @returns the targets that were missed.
 */
export async function benchHostile(args: readonly string[]): Promise<string[]> {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const machine = describeMachine();
  const verdicts: Verdict[] = [];
  for (const [id, { attack, settings }] of Object.entries(ATTACKS)) {
    if (values.only !== undefined && !values.only.includes(id)) continue;
    await using parts = new AsyncDisposableStack();
    const folder = parts.adopt(await mkdtemp(join(tmpdir(), 'postservice-bench-')), dir =>
      rm(dir, { recursive: true, force: true }),
    );
    const service = parts.use(await startServiceProcess({ DATA_DIR: folder, ...settings }));
    const found = await attack(service.url, { cases: Number(values.cases), seed: Number(values.seed) });
    const rss = await service.rssMiB();
    console.log(`${id}: RSS afterwards ${rss.toFixed(0)} MiB`);
    verdicts.push(...found);
  }
  const table = markdownTable(
    ['id', 'attack', 'figure', 'target', 'verdict'],
    verdicts.map(({ id, attack, figure, target, isMet }) => [id, attack, figure, target, isMet ? 'met' : 'MISSED']),
  );
  console.log(table);
  await writeResults({
    'hostile.md': `# Hostile input\n\n${formatMachine(machine)}\n\n${table}\n`,
    'hostile.json': { machine, verdicts },
  });
  return verdicts.filter(({ isMet }) => !isMet).map(({ id, attack, figure }) => `${id}, ${attack}: ${figure}`);
}

const OPTIONS = {
  only: { type: 'string', multiple: true },
  cases: { type: 'string', default: '1000000' },
  seed: { type: 'string', default: '1' },
} as const;

const ATTACKS: Readonly<Record<string, Attack>> = {
  H4: { attack: attackSlowly },
  H5: { attack: attackWithFloods },
  H8: {
    attack: (url, { cases, seed }) => attackWithMutations(url, cases, seed),
    // A cold pool that sheds calls (UNAVAILABLE) is not what the bytes of a request did.
    settings: { DATABASE_ACQUIRE_TIMEOUT: '30s' },
  },
};

interface Attack {
  readonly attack: (url: string, options: { readonly cases: number; readonly seed: number }) => Promise<Verdict[]>;
  /** Of the service, beside its defaults. */
  readonly settings?: Readonly<Record<string, string>>;
}
