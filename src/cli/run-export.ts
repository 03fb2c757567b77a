import { parseArgs } from 'node:util';
import { type CommandIo, EXIT, oneFolder, readArguments, serviceUrl, UsageError } from '#src/cli/command.ts';
import { connectTo } from '#src/cli/connection.ts';
import { exportPosts } from '#src/cli/export.ts';
import { isSystemError, systemErrorReason } from '#src/cli/file-failure.ts';
import { ProgressBar } from '#src/cli/progress-bar.ts';
import { reportOutcome } from '#src/cli/report.ts';

/**
 * The command `export DIR`.
 *
 * @param args what follows the command's name.
 * @returns the exit code: 0; 1 where a post failed or the service is lost; 2 for a bad command line; 130 when interrupted.
 */
export async function runExport(args: readonly string[], io: CommandIo): Promise<number> {
  try {
    const { values, positionals } = readArguments(() =>
      parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true }),
    );
    if (values.help) {
      io.stdout.write(exportHelp(io.defaultUrl));
      return EXIT.ok;
    }
    const dir = oneFolder(positionals);
    return await run(dir, serviceUrl(values.url ?? io.defaultUrl), io);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    io.stderr.write(`export: ${error.message}. See export --help.\n`);
    return EXIT.usage;
  }
}

const OPTIONS = { url: { type: 'string' }, help: { type: 'boolean', short: 'h' } } as const;

async function run(dir: string, url: string, io: CommandIo): Promise<number> {
  const startedAt = performance.now();
  const bar = new ProgressBar(io.stderr);
  using connection = connectTo(url, 1);
  try {
    const onProgress = bar.update.bind(bar);
    const summary = await exportPosts({ dir, client: connection.client, onProgress, signal: io.signal });
    bar.clear();
    const counts = [
      [summary.written, 'written'],
      [summary.unchanged, 'unchanged'],
    ] as const;
    return reportOutcome({ ...summary, verb: 'Exported', counts, elapsedMs: performance.now() - startedAt, url }, io);
  } catch (error) {
    bar.clear();
    if (!isSystemError(error)) throw error;
    io.stderr.write(`export: ${dir}: ${systemErrorReason(error)}\n`);
    return EXIT.failed;
  }
}

function exportHelp(defaultUrl: string): string {
  return `Usage: export DIR [options]

Writes every post that is not deleted to DIR/<slug>.md, with its title, author, tags and date as YAML front matter.
"import DIR" makes equal posts of them again. A file of the same name is replaced; no other file is touched or deleted.

Options:
  --url URL            where the service is (${defaultUrl})
  -h, --help           this text

Exit code: 0; 1 if a post failed or the service can't be reached; 2 for a bad command line; 130 when interrupted.
`;
}
