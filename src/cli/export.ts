import { randomUUID } from 'node:crypto';
import { lstat, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Client } from '@connectrpc/connect';
import { type Post, PostView } from '#gen/blog/v1/post_pb.js';
import type { PostService } from '#gen/blog/v1/post_service_pb.js';
import { type FileFailure, fileFailureReason } from '#src/cli/file-failure.ts';
import { formatPostFile } from '#src/cli/post-file.ts';
import { PostFileError } from '#src/cli/post-file-error.ts';
import type { Progress } from '#src/cli/progress-line.ts';
import { callOptions, callService, checkService, ServiceLostError } from '#src/cli/service-lost-error.ts';

export interface ExportOptions {
  /** The folder to write to; it is made where it does not exist. */
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
  /** Files that had the post's very bytes already, and were not touched. */
  readonly unchanged: number;
  readonly failed: readonly FileFailure[];
  /** Why the run ended early: a ServiceLostError, or the signal's reason. */
  readonly stoppedBy: unknown;
}

/**
 * Writes every live post to `<slug>.md` in a folder, from which importPosts makes equal posts again. A file of that name is
 * replaced, at once and whole, so that no reader ever sees half of one; no other file is touched and none is deleted.
 *
 * @throws the system's error where the folder can't be made; ConnectError where the service refuses to list.
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

/** Oldest first: what is created meanwhile comes last, and is listed too. */
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
  // The name of a file comes from the network: nothing but a slug may become one.
  if (!/^[a-z0-9-]{1,200}$/.test(post.slug))
    throw new PostFileError('slug: is none, so that no file can have its name');
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
