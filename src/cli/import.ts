import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from '@connectrpc/connect';
import type { PostService } from '#gen/blog/v1/post_service_pb.js';
import { type FileFailure, fileFailureReason } from '#src/cli/file-failure.ts';
import { findPostFiles, type PostFile } from '#src/cli/find-post-files.ts';
import { POST_FILE_MAX_BYTES, parsePostFile } from '#src/cli/post-file.ts';
import { PostFileError } from '#src/cli/post-file-error.ts';
import type { Progress } from '#src/cli/progress-line.ts';
import { checkService, ServiceLostError } from '#src/cli/service-lost-error.ts';
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
  /** Files that the run did not come to, or was cut off in, because it ended early. */
  readonly notTried: number;
  /** Why the run ended early: a ServiceLostError, or the signal's reason. */
  readonly stoppedBy: unknown;
}

/**
 * Makes the service's posts equal to the Markdown files of a folder: one post for each file, found by the slug that
 * slugFromPath gives it. To repeat it is safe and changes only what has changed in the files; posts that have no file are left
 * alone, and a deleted post whose file is there is created again. A file that fails is named in the summary, and the rest
 * goes on.
 *
 * @throws the system's error where `dir` can't be read.
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
