import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { openLogOutput } from '#src/observability/log-output.ts';
import { createLogger } from '#src/observability/logger.ts';
import { makeTemporaryFolder } from '#test/support/temporary-folder.ts';

/** More than a pipe holds. */
const LINES = 5000;

it('does not wait for a stalled reader, and loses nothing when it continues', async () => {
  await using pipe = await openPipe();
  const output = openLogOutput(pipe.end.fd);
  const log = await createLogger({ level: 'info', format: 'json' }, output.destination);
  for (let line = 0; line < LINES; line++) log.info({ line }, 'while nobody reads');
  const lines = await pipe.readLines(LINES);
  expect(lines.map(({ line }) => line)).toEqual(Array.from({ length: LINES }, (_, line) => line));
  expect(output.droppedLines).toBe(0);
});

it('drops lines beyond its limit, and reports later how many', async () => {
  await using pipe = await openPipe();
  const output = openLogOutput(pipe.end.fd, 64 * 1024);
  const log = await createLogger({ level: 'info', format: 'json' }, output.destination);
  output.reportDropsTo(log);
  for (let line = 0; line < LINES; line++) log.info({ line }, 'while nobody reads');
  const { droppedLines } = output;
  expect(droppedLines).toBeGreaterThan(0);
  const lines = await pipe.readLines(LINES - droppedLines + 1);
  expect(lines.at(-1)).toMatchObject({ level: 40, event: 'log_lines_dropped', lines: droppedLines });
});

it('flushes waiting lines', async () => {
  await using pipe = await openPipe();
  const output = openLogOutput(pipe.end.fd);
  output.destination.write('{"line":1}\n');
  await output.flush();
  output.destination.write('{"line":2}\n');
  await output.flush();
  expect(await pipe.readLines(2)).toEqual([{ line: 1 }, { line: 2 }]);
});

it('gives up a flush if nobody reads', async () => {
  await using pipe = await openPipe();
  const output = openLogOutput(pipe.end.fd);
  for (let line = 0; line < LINES; line++) output.destination.write(`{"line":${line},"text":"${'x'.repeat(50)}"}\n`);
  await output.flush();
  expect(output.droppedLines).toBe(0);
});

it('survives an output that fails', async () => {
  // Each write to it fails as if the disk were full.
  await using full = await open('/dev/full', 'w');
  const output = openLogOutput(full.fd);
  const failed = once(output.destination as unknown as NodeJS.WritableStream, 'error');
  output.destination.write('{}\n');
  expect(await failed).toMatchObject([{ code: 'ENOSPC' }]);
  output.destination.write('{}\n');
});

/** A non-blocking pipe, with both ends open. */
async function openPipe() {
  await using parts = new AsyncDisposableStack();
  const folder = parts.use(await makeTemporaryFolder());
  const path = join(folder.path, 'pipe');
  await promisify(execFile)('mkfifo', [path]);
  const end: FileHandle = parts.use(await open(path, constants.O_RDWR | constants.O_NONBLOCK));
  const closing = parts.move();
  return {
    end,
    /** The next lines, as objects. */
    async readLines(count: number): Promise<Record<string, unknown>[]> {
      await using reader = await open(path, constants.O_RDONLY);
      const lines: Record<string, unknown>[] = [];
      for await (const line of reader.readLines({ autoClose: false })) {
        lines.push(JSON.parse(line));
        if (lines.length === count) break;
      }
      return lines;
    },
    [Symbol.asyncDispose]: () => closing.disposeAsync(),
  };
}
