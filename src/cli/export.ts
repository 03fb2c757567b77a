import { randomUUID } from 'node:crypto';
import { lstat, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { Client } from '@connectrpc/connect';
import { type Post, PostView } from '#gen/blog/v1/post_pb.js';
import type { PostService } from '#gen/blog/v1/post_service_pb.js';
import { type CommandIo, EXIT, oneFolder, readArguments, serviceUrl, UsageError } from '#src/cli/command.ts';
import { type FileFailure, fileFailureReason, isSystemError, systemErrorReason } from '#src/cli/file-failure.ts';
import { PostFileError } from '#src/cli/front-matter.ts';
import { formatPostFile } from '#src/cli/post-file.ts';
import type { Progress } from '#src/cli/progress-bar.ts';
import { ProgressBar } from '#src/cli/progress-bar.ts';
import { reportOutcome } from '#src/cli/report.ts';
import { callOptions, callService, checkService, connectTo, ServiceLostError } from '#src/cli/service-calls.ts';

export interface ExportOptions {
  /** The folder to write to. It is created if it does not exist. */
  readonly dir: string;
  readonly client: Client<typeof PostService>;
  /** Called after each post. */
  readonly onProgress?: (progress: Progress) => void;
  /** Ends the run. */
  readonly signal?: AbortSignal | undefined;
}

/** How many posts ended how. */
export interface ExportSummary {
  /** Files made or replaced. */
  readonly written: number;
  /** Files that already had the same bytes, and were not written. */
  readonly unchanged: number;
  readonly failed: readonly FileFailure[];
  /** Why the run ended early: a ServiceLostError, or the signal's reason. */
  readonly stoppedBy: unknown;
}

/**
 * Writes every live post to `<slug>.md` in a folder, from which importPosts makes equal posts again. A file of that name is replaced
 * atomically, so that no reader sees half of it. Other files stay as they are.
 *
 * @throws the system's error if the folder cannot be created; ConnectError if the service refuses to list.
 */
export async function exportPosts({ dir, client, onProgress, signal }: ExportOptions): Promise<ExportSummary> {
  const counts = { written: 0, unchanged: 0 };
  const failed: FileFailure[] = [];
  let stoppedBy: unknown;
  await mkdir(dir, { recursive: true });
  try {
    await checkService(client, { signal });
    for await (const post of listAll(client, signal)) {
      signal?.throwIfAborted();
      try {
        counts[await exportPost(dir, post)]++;
      } catch (error) {
        failed.push({ file: post.slug, reason: fileFailureReason(error) });
      }
      const done = counts.written + counts.unchanged + failed.length;
      onProgress?.({ done, total: undefined, failed: failed.length, current: `${post.slug}.md` });
    }
  } catch (error) {
    if (!(signal?.aborted || error instanceof ServiceLostError)) throw error;
    stoppedBy = error;
  }
  return { ...counts, failed, stoppedBy };
}

/** Oldest first, so that posts which are created meanwhile come last, and are listed too. */
async function* listAll(client: Client<typeof PostService>, signal: AbortSignal | undefined): AsyncGenerator<Post> {
  let pageToken = '';
  do {
    const request = { view: PostView.FULL, pageSize: 100, orderBy: 'create_time', pageToken };
    const page = await callService(() => client.listPosts(request, callOptions(signal)), { signal });
    yield* page.posts;
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
}

async function exportPost(dir: string, post: Post): Promise<'written' | 'unchanged'> {
  // The name comes from the network, so it must be a slug.
  if (!/^[a-z0-9-]{1,200}$/.test(post.slug))
    throw new PostFileError('slug: must have 1 to 200 characters of a-z, 0-9 and - to name a file');
  const path = join(dir, `${post.slug}.md`);
  const bytes = Buffer.from(formatPostFile(post));
  if (await hasBytes(path, bytes)) return 'unchanged';
  const temporary = join(dir, `.${randomUUID()}.tmp`);
  try {
    await writeFile(temporary, bytes, { flag: 'wx' });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  return 'written';
}

async function hasBytes(path: string, bytes: Buffer): Promise<boolean> {
  const found = await lstat(path).catch(() => undefined);
  return found?.isFile() === true && found.size === bytes.length && bytes.equals(await readFile(path));
}

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
