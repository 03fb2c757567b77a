import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { migrateToLatest } from '#src/db/migrations/migrate.ts';
import { startEmbeddedPostgres } from '#src/embedded/embedded-postgres.ts';
import { createLogger } from '#src/observability/logger.ts';
import { describeMachine } from './machine.ts';
import { quartiles } from './quartiles.ts';
import { writeResults } from './results.ts';
import { startServiceProcess } from './service-process.ts';
import { missedTargets, type StartupResult, startupChart, startupReport } from './startup-report.ts';

/**
 * Measures the service's start: with an empty data folder, with one that is there, and with a given database. The starts
 * take turns. The first of each kind does not count: it fills Node's compile cache.
 *
 * @param args `--runs` of each kind (10), and after how many of them the memory is read, which takes 5 s each (`--idle`, 3).
 * @returns the targets that were missed.
 */
export async function benchStartup(args: readonly string[]): Promise<string[]> {
  const { values } = parseArgs({ args: [...args], options: OPTIONS });
  const [runs, idleRuns] = [Number(values.runs), Number(values.idle)];
  const machine = describeMachine();
  await using parts = new AsyncDisposableStack();
  const folder = parts.adopt(await mkdtemp(join(tmpdir(), 'postservice-bench-')), remove);
  const log = await createLogger({ level: 'warn', format: 'json' });
  const postgres = parts.use(await startEmbeddedPostgres({ dataDir: join(folder, 'given'), log }));
  await migrateToLatest(postgres.url);

  const given = { DATABASE_URL: postgres.url, PAGE_TOKEN_SECRET: randomBytes(32).toString('hex') };
  const kinds = {
    'first start, empty DATA_DIR': (run: number) => ({ DATA_DIR: join(folder, `empty-${run}`) }),
    'existing DATA_DIR': () => ({ DATA_DIR: join(folder, 'existing') }),
    'given DATABASE_URL': () => given,
  };
  const started = new Map(Object.keys(kinds).map(kind => [kind, new Starts()]));
  for (let run = 0; run <= runs; run++) {
    for (const [kind, settings] of Object.entries(kinds)) {
      const { DATA_DIR = '', ...rest } = { ...settings(run) } as Record<string, string>;
      await using service = await startServiceProcess(DATA_DIR === '' ? rest : { DATA_DIR });
      if (run > 0) started.get(kind)?.add(service.readyMs, service.phases);
      if (run > 0 && run <= idleRuns) {
        await delay(IDLE_MS);
        started.get(kind)?.rssMiB.push(await service.rssMiB());
      }
      console.log(`${kind}: ready after ${service.readyMs.toFixed(0)} ms${run === 0 ? ' (does not count)' : ''}`);
    }
    await remove(join(folder, `empty-${run}`));
  }
  const result: StartupResult = { machine, runs, kinds: [...started].map(([kind, s]) => ({ kind, ...s.summary() })) };
  await writeResults({
    'startup.md': startupReport(result),
    'startup.svg': startupChart(result),
    'startup.json': result,
  });
  return missedTargets(result);
}

const OPTIONS = { runs: { type: 'string', default: '10' }, idle: { type: 'string', default: '3' } } as const;
const IDLE_MS = 5000;

class Starts {
  readonly rssMiB: number[] = [];
  readonly #readyMs: number[] = [];
  readonly #phases = new Map<string, number[]>();

  add(readyMs: number, phases: Readonly<Record<string, number>>): void {
    this.#readyMs.push(readyMs);
    for (const [phase, ms] of Object.entries(phases)) {
      this.#phases.set(phase, [...(this.#phases.get(phase) ?? []), ms]);
    }
  }

  summary() {
    const phases = Object.fromEntries([...this.#phases].map(([phase, ms]) => [phase, quartiles(ms).median]));
    return { readyMs: quartiles(this.#readyMs), rssMiB: quartiles(this.rssMiB), phases };
  }
}

function remove(dir: string): Promise<void> {
  return rm(dir, { recursive: true, force: true });
}
