import { parseArgs } from 'node:util';
import { type CommandIo, EXIT, oneFolder, readArguments, serviceUrl, UsageError } from '#src/cli/command.ts';
import { connectTo } from '#src/cli/connection.ts';
import { isSystemError, systemErrorReason } from '#src/cli/file-failure.ts';
import { DEFAULT_CONCURRENCY, importPosts } from '#src/cli/import.ts';
import { ProgressBar } from '#src/cli/progress-bar.ts';
import { reportOutcome } from '#src/cli/report.ts';

/**
 * The command `import DIR`.
 *
 * @param args what follows the command's name.
 * @returns the exit code: 0; 1 where a file failed or the service is lost; 2 for a bad command line; 130 when interrupted.
 */
export async function runImport(args: readonly string[], io: CommandIo): Promise<number> {
  try {
    const { values, positionals } = readArguments(() =>
      parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true }),
    );
    if (values.help) {
      io.stdout.write(importHelp(io.defaultUrl));
      return EXIT.ok;
    }
    // What the command line says is checked first: its faults are told whatever the settings are.
    const dir = oneFolder(positionals);
    const concurrency = parseConcurrency(values.concurrency);
    const url = serviceUrl(values.url ?? io.defaultUrl);
    return await run(dir, { url, concurrency, dryRun: values['dry-run'] ?? false }, io);
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    io.stderr.write(`import: ${error.message}. See import --help.\n`);
    return EXIT.usage;
  }
}

const OPTIONS = {
  url: { type: 'string' },
  concurrency: { type: 'string' },
  'dry-run': { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const;

interface Settings {
  readonly url: string;
  readonly concurrency: number;
  readonly dryRun: boolean;
}

async function run(dir: string, { url, concurrency, dryRun }: Settings, io: CommandIo): Promise<number> {
  const startedAt = performance.now();
  const bar = new ProgressBar(io.stderr);
  using connection = connectTo(url, concurrency);
  try {
    const onProgress = bar.update.bind(bar);
    const { client } = connection;
    const summary = await importPosts({ dir, client, concurrency, dryRun, onProgress, signal: io.signal });
    bar.clear();
    const would = dryRun ? 'would be ' : '';
    const counts = (['created', 'updated', 'unchanged'] as const).map(key => [summary[key], would + key] as const);
    const verb = dryRun ? 'Checked' : 'Imported';
    return reportOutcome({ ...summary, verb, counts, elapsedMs: performance.now() - startedAt, url }, io);
  } catch (error) {
    bar.clear();
    if (!isSystemError(error)) throw error;
    io.stderr.write(`import: ${dir}: ${systemErrorReason(error)}\n`);
    return EXIT.failed;
  }
}

function parseConcurrency(text: string | undefined): number {
  if (text === undefined) return DEFAULT_CONCURRENCY;
  if (/^\d{1,3}$/.test(text) && Number(text) >= 1 && Number(text) <= 256) return Number(text);
  throw new UsageError(`--concurrency: "${text}" is no whole number from 1 to 256`);
}

function importHelp(defaultUrl: string): string {
  return `Usage: import DIR [options]

Makes the service's posts equal to the Markdown files (.md, .mdx, .markdown) in DIR and its folders.
Repeating it changes only what has changed in the files. Posts without a file are left alone.

Each file begins with front matter in YAML (between two lines ---) or TOML (between two lines +++):
  title                required, up to 255 characters
  author               a text or a list
  tags, category       up to 32 of up to 64 characters
  date                 the publish time, such as 2025-06-20 or 2025-06-20T15:00:00Z; UTC where it has no zone
  draft                true: no publish time
The post's slug comes from the file's path: news/Hello World.md becomes news-hello-world.

Options:
  --url URL            where the service is (${defaultUrl})
  --concurrency N      files in work at once, 1 to 256 (${DEFAULT_CONCURRENCY})
  --dry-run            check everything and write nothing
  -h, --help           this text

Exit code: 0; 1 if a file failed or the service can't be reached; 2 for a bad command line; 130 when interrupted.
`;
}
