import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { recordAnswers } from './check-answers.ts';
import { type ContestantProcess, startContestant } from './contestant-process.ts';
import type { Contestant } from './contestants.ts';

/**
 * Starts contestants, ours first, since others repeat its answers. They wait idle while others are measured.
 *
 * @param options.core that they share.
 * @param options.folder for the file of answers.
 * @param options.parts ends them when it is disposed of.
 * @returns their processes by id; those that share one have none of their own.
 */
export async function startContestants(
  contestants: readonly Contestant[],
  options: { readonly core: number; readonly folder: string; readonly parts: AsyncDisposableStack },
): Promise<Map<string, ContestantProcess>> {
  const answersFile = join(options.folder, 'answers.json');
  const processes = new Map<string, ContestantProcess>();
  for (const { id, command, processOf, workloads } of contestants) {
    if (processOf !== undefined) continue;
    const words = command.map(word => (word === '{answers}' ? answersFile : word));
    const started = options.parts.use(await startContestant(words, options.core));
    if (processes.size === 0)
      await writeFile(answersFile, JSON.stringify(await recordAnswers(started.port, workloads)));
    processes.set(id, started);
  }
  return processes;
}
