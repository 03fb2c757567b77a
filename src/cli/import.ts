import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Client } from '@connectrpc/connect';
import type { PostService } from '#gen/blog/v1/post_service_pb.js';
import { type CommandIo, EXIT, oneFolder, readArguments, serviceUrl, UsageError } from '#src/cli/command.ts';
import { type FileFailure, fileFailureReason, isSystemError, systemErrorReason } from '#src/cli/file-failure.ts';
import { findPostFiles, type PostFile } from '#src/cli/find-post-files.ts';
import { PostFileError } from '#src/cli/front-matter.ts';
import { POST_FILE_MAX_BYTES, parsePostFile } from '#src/cli/post-file.ts';
import type { Progress } from '#src/cli/progress-bar.ts';
import { ProgressBar } from '#src/cli/progress-bar.ts';
import { reportOutcome } from '#src/cli/report.ts';
import { checkService, connectTo, ServiceLostError } from '#src/cli/service-calls.ts';
import { type UpsertOutcome, upsertPost } from '#src/cli/upsert-post.ts';

export interface ImportOptions {
  /** The folder with the Markdown files. */
  readonly dir: string;
  readonly client: Client<typeof PostService>;
  /** Files in work at once. Default 16, which keeps the service's default of 10 database connections busy. */
  readonly concurrency?: number;
  /** Writes nothing; the service checks what it would write. */
  readonly dryRun?: boolean;
  /** How often a call is made while the service can't answer. Default: withRetry's. */
  readonly attempts?: number;
  /** Called when a file is begun, and when it is done. */
  readonly onProgress?: (progress: Progress) => void;
  /** Ends the run: calls under way are cancelled, and the rest is not tried. */
  readonly signal?: AbortSignal | undefined;
}

/** How many files ended how. */
export interface ImportSummary extends Readonly<Record<UpsertOutcome, number>> {
  /** In the order of their paths. */
  readonly failed: readonly FileFailure[];
  /** Files that were not imported because the run ended early. */
  readonly notTried: number;
  /** Why the run ended early: a ServiceLostError, or the signal's reason. */
  readonly stoppedBy: unknown;
}

/**
 * Makes the service's posts equal to the Markdown files of a folder: one post for each file, found by its slug (slugFromPath). It is safe
 * to repeat, and changes only what has changed in the files. Posts without a file stay as they are. A deleted post whose file exists is
 * created again. A file that fails is named in the summary, and the others go on.
 *
 * @throws the system's error if `dir` cannot be read.
 */
export async function importPosts(options: ImportOptions): Promise<ImportSummary> {
  const { dir, client, concurrency = DEFAULT_CONCURRENCY, dryRun = false, onProgress } = options;
  const { files, failed } = await findPostFiles(dir);
  const total = files.length + failed.length;
  const counts = { created: 0, updated: 0, unchanged: 0 };
  const stop = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
  const retry = { signal, ...(options.attempts !== undefined && { attempts: options.attempts }) };
  const done = () => counts.created + counts.updated + counts.unchanged + failed.length;
  const report = (current: string) => onProgress?.({ done: done(), total, failed: failed.length, current });

  const importFile = async ({ path, slug }: PostFile) => {
    report(path);
    try {
      const post = { ...parsePostFile(await readBounded(join(dir, path))), slug };
      counts[await upsertPost(client, post, { ...retry, dryRun })]++;
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ServiceLostError) return stop.abort(error);
      failed.push({ file: path, reason: fileFailureReason(error) });
    }
    report(path);
  };
  const queue = files.values();
  const work = async () => {
    for (const file of queue) {
      if (signal.aborted) return;
      await importFile(file);
    }
  };

  await checkService(client, retry).catch(error => {
    if (!(signal.aborted || error instanceof ServiceLostError)) throw error;
    stop.abort(error);
  });
  await Promise.all(Array.from({ length: concurrency }, work));
  failed.sort((a, b) => (a.file < b.file ? -1 : 1));
  return { ...counts, failed, notTried: total - done(), stoppedBy: signal.aborted ? signal.reason : undefined };
}

export const DEFAULT_CONCURRENCY = 16;

async function readBounded(path: string): Promise<Uint8Array> {
  const { size } = await stat(path);
  if (size > POST_FILE_MAX_BYTES) {
    throw new PostFileError(`content: the file has ${size} bytes; content may have 1 MiB (1048576 bytes)`);
  }
  return readFile(path);
}

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
  throw new UsageError(`--concurrency: "${text}" must be an integer from 1 to 256`);
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
