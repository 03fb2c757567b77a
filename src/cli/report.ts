import type { CommandIo } from '#src/cli/command.ts';
import { EXIT } from '#src/cli/command.ts';
import type { FileFailure } from '#src/cli/file-failure.ts';
import { formatCount, formatSeconds, printable } from '#src/cli/progress-bar.ts';
import { ServiceLostError } from '#src/cli/service-calls.ts';

/** How a command ended. */
export interface Outcome {
  /** Such as `Imported`. */
  readonly verb: string;
  /** In the order of the output, such as `[1050, 'created']`. */
  readonly counts: readonly (readonly [count: number, what: string])[];
  readonly failed: readonly FileFailure[];
  /** The number of files that were not tried; undefined: unknown. */
  readonly notTried?: number | undefined;
  readonly stoppedBy: unknown;
  readonly elapsedMs: number;
  readonly url: string;
}

/**
 * Writes the failures and what ended the run to stderr, and one line with the counts to stdout.
 *
 * @returns the exit code.
 */
export function reportOutcome(outcome: Outcome, { stdout, stderr }: CommandIo): number {
  const { failed, stoppedBy } = outcome;
  for (const { file, reason } of failed) stderr.write(`✗ ${printable(file)}\n    ${printable(reason)}\n`);
  const counts = [...outcome.counts, [failed.length, 'failed'] as const].map(
    ([n, what]) => `${formatCount(n)} ${what}`,
  );
  const notTried = outcome.notTried ? [`${formatCount(outcome.notTried)} not tried`] : [];
  const time = formatSeconds(outcome.elapsedMs / 1000);
  stdout.write(`${outcome.verb} in ${time}: ${[...counts, ...notTried].join(', ')}\n`);
  if (stoppedBy !== undefined) stderr.write(`${stopLine(stoppedBy, outcome.url)}\n`);
  if (stoppedBy !== undefined && !(stoppedBy instanceof ServiceLostError)) return EXIT.interrupted;
  return failed.length > 0 || stoppedBy !== undefined ? EXIT.failed : EXIT.ok;
}

function stopLine(stoppedBy: unknown, url: string): string {
  if (!(stoppedBy instanceof ServiceLostError)) return 'Interrupted. Run it again to go on.';
  const hint = 'Start it with "npm start", or name another with --url; then run this again.';
  return `The service at ${url} ${printable(stoppedBy.message)}. ${hint}`;
}
