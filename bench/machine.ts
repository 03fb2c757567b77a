import { cpus, loadavg, release, totalmem } from 'node:os';
import packageJson from '#package.json' with { type: 'json' };

/** Where and with what a benchmark ran: figures mean little without. */
export interface Machine {
  /** ISO 8601, in UTC. */
  readonly date: string;
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  /** Over the minute before: what else ran. */
  readonly load: number;
  readonly versions: Readonly<Record<string, string>>;
}

/** @param versions of what else took part, such as Postgres. */
export function describeMachine(versions: Readonly<Record<string, string>> = {}): Machine {
  return {
    date: new Date().toISOString(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    system: `${process.platform} ${release()} ${process.arch}`,
    load: Number((loadavg()[0] ?? 0).toFixed(2)),
    versions: { postservice: packageJson.version, node: process.versions.node, ...versions },
  };
}

/** One line for a report. */
export function formatMachine({ date, cpu, cores, memoryGiB, system, load, versions }: Machine): string {
  const programs = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  return `${date}, ${cores} shared cores of ${cpu}, ${memoryGiB} GiB, ${system}, load before ${load}, ${programs.join(', ')}`;
}
